//! A limit on the size of files (`ulimit -f`): by default the system kills a process at it.

use std::process::Command;

use fibpro::service::userstore::Database;

use super::fixture::{Folder, audit, count, runtime};
use super::lost_changes::hold;
use super::program::{Program, userstore_in};
use crate::process::{Ended, command, output};

/// Returns the command of a program with a limit, in blocks of 512 or 1024 bytes.
fn limited(folder: &Folder, blocks: u32, program: &str, arguments: &[&str]) -> Command {
    let script = format!(r#"ulimit -f {blocks}; exec "$0" "$@""#);
    let mut command = command("sh", &[&["-c", &script, program], arguments].concat());
    command.current_dir(folder.path());
    command
}

fn reserve(program: &Program, key: u32) -> crate::process::HttpResponse {
    let body = format!(r#"{{"username": "developer", "amount": 1, "key": "k{key}"}}"#);
    program.call("Reserve", &body)
}

#[test]
fn a_store_at_its_limit_refuses_changes_and_goes_on() {
    let folder = Folder::new();
    let arguments = ["--database", "sqlite://users.sqlite"];
    let program = env!("CARGO_BIN_EXE_userstore");
    let program = Program::start(limited(&folder, 400, program, &arguments));
    let runtime = runtime();
    let reader = runtime.block_on(hold(folder.path()));
    let mut bought = 0;
    let refused = loop {
        let response = reserve(&program, bought);
        if response.status != 200 {
            break response;
        }
        bought += 1;
        assert!(bought < 100, "the limit is not reached");
    };
    assert_eq!(refused.code(), "resource_exhausted");
    let text = refused.body.to_string();
    assert!(text.contains("a limit on file sizes"), "{text}");
    let user = program.call("GetUser", r#"{"username": "developer"}"#);
    assert_eq!(user.body["result"]["credit"], 100 - bought);
    drop(reader);
    let ended = program.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let database = Database::file(folder.file("users.sqlite"));
    let kept = runtime.block_on(async {
        audit(&database).await;
        count(&database, "SELECT COUNT(*) FROM purchases").await
    });
    assert_eq!(kept, i64::from(bought));
}

#[test]
fn tools_at_their_limit_end_with_an_error() {
    let folder = Folder::new();
    let fibpro = env!("CARGO_BIN_EXE_fibpro");
    let database = ["--database", "sqlite://users.sqlite"];
    Program::start(userstore_in(&folder, &database)).stop();
    let run = |blocks, arguments: &[&str]| {
        let arguments = [arguments, &database].concat();
        Ended::from(output(&mut limited(&folder, blocks, fibpro, &arguments)))
    };
    let done = run(100_000, &["backup", "copy"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for arguments in [["backup", "other"], ["restore", "copy"]] {
        let ended = run(4, &arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
        assert!(!folder.file("other").exists());
    }
}
