//! `fibpro user`: new users, passwords, roles and credit of running services.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use rpc_tests::raw::Response;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::{Value, json};

use crate::process::{Ended, Folder, RunningCommand, command, output};
use crate::up::Up;
use crate::users::{buy, start};
use crate::userstore::fixture::runtime;

const CANARY: &str = "canary-pa55word";

/// Returns the options that name the user store of these services, and their key.
fn target(up: &Up) -> [String; 4] {
    let endpoint = format!("userstore={}", up.url("userstore"));
    let names = ["--endpoint", "--identity-key-file"].map(str::to_owned);
    let [first, second] = names;
    [first, endpoint, second, up.key()]
}

/// Runs `fibpro user` with this text on its standard input.
fn user(up: &Up, arguments: &[&str], input: &str) -> Ended {
    let target = target(up);
    let target: Vec<_> = target.iter().map(String::as_str).collect();
    user_at(&[arguments, &target].concat(), input)
}

fn user_at(arguments: &[&str], input: &str) -> Ended {
    let folder = Folder::new();
    fs::write(folder.file("input"), input).unwrap();
    let input = File::open(folder.file("input")).unwrap();
    let program = env!("CARGO_BIN_EXE_fibpro");
    let mut command = command(program, &[&["user"], arguments].concat());
    // Claims, of which only the first one counts, if root makes it.
    for (name, value) in [
        ("SUDO_USER", "carla"),
        ("LOGNAME", "mallory"),
        ("USER", "mallory"),
    ] {
        command.env(name, value);
    }
    output(command.stdin(Stdio::from(input))).into()
}

/// Returns the user in whose name these tests call.
fn operator() -> String {
    let of_account = |option| {
        let printed = Command::new("id")
            .args(["-u", option])
            .output()
            .unwrap()
            .stdout;
        String::from_utf8(printed).unwrap().trim_end().to_owned()
    };
    match (of_account("-r").as_str(), of_account("-n")) {
        ("0", name) => format!("os:{name}(sudo=carla)"),
        (_, name) => format!("os:{name}"),
    }
}

#[track_caller]
fn succeeds(ended: &Ended) -> &str {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    &ended.stdout
}

fn purchase(up: &Up, login: (&str, &str)) -> Response {
    runtime().block_on(buy(up, login, "/10", &[]))
}

#[test]
fn an_operator_manages_users() {
    let (up, operator) = (start(&[]), &operator());
    let added = user(
        &up,
        &["add", "eve", "--credit", "3", "--role", "developer"],
        CANARY,
    );
    assert_eq!(
        succeeds(&added),
        "added eve with credit 3, the role developer\n"
    );
    assert_eq!(purchase(&up, ("eve", CANARY)).status, 200);

    let folder = Folder::new();
    let file = folder.file("password");
    fs::write(&file, "second-canary\n").unwrap();
    let file = ["--password-file", file.to_str().unwrap()];
    let changed = user(&up, &[&["passwd", "eve"][..], &file].concat(), "");
    assert_eq!(succeeds(&changed), "changed the password of eve\n");
    assert_eq!(purchase(&up, ("eve", CANARY)).status, 401);

    for _ in 0..2 {
        let paid = user(&up, &["deposit", "eve", "5", "--key", "gift"], "");
        assert_eq!(succeeds(&paid), "eve has credit 6\n");
    }
    let taken = user(&up, &["deposit", "eve", "-4"], "");
    assert_eq!(succeeds(&taken), "eve has credit 2\n");
    assert_eq!(purchase(&up, ("eve", "second-canary")).status, 200);

    let roles = [
        "role",
        "eve",
        "--add",
        "operator",
        "--add",
        "a",
        "--remove",
        "developer",
    ];
    assert_eq!(
        succeeds(&user(&up, &roles, "")),
        "eve has the roles operator, a\n"
    );
    let shown = user(&up, &["show", "eve", "--limit", "2"], "");
    let lines: Vec<_> = succeeds(&shown).lines().collect();
    assert_eq!(lines.len(), 3, "{shown:?}");
    assert_eq!(lines[0], "eve has credit 0 and the roles operator, a");
    assert!(lines[1].contains("  -2  0  reserve  key=") && lines[1].ends_with("  principal=eve"));
    assert!(
        lines[2].contains("  actor=fibpro@prod/")
            && lines[2].ends_with(&format!("principal={operator}"))
    );
    let shown = user(&up, &["show", "eve", "--json"], "");
    let shown: Value = serde_json::from_str(succeeds(&shown)).unwrap();
    assert_eq!(shown["user"]["roles"], json!(["operator", "a"]));
    assert_eq!(shown["ledger"][4]["principal"], *operator, "{shown}");

    let (ended, _folder) = up.stop();
    let logged = match operator.contains('(') {
        true => format!("{operator:?}"),
        false => operator.clone(),
    };
    for text in [
        "Added user: eve with credit 3",
        "Password of eve changed",
        "Roles of eve set to [operator, a]",
        "Credit for eve incremented 5 yielding 6",
        "Credit for eve incremented -4 yielding 2",
    ] {
        let lines = ended.stdout.lines().filter(|line| line.contains(text));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 1, "{text}: {ended:?}");
        assert!(lines[0].starts_with("[prod_userstore] "), "{lines:?}");
        assert!(lines[0].contains(" source=fibpro@prod/"), "{lines:?}");
        assert!(
            lines[0].ends_with(&format!(" user.id={logged}")),
            "{lines:?}"
        );
    }
    // A line of a change that a user made has the text alone.
    let own = " Credit for eve incremented -2 yielding 1";
    let is_own = |line: &str| line.ends_with(own);
    assert_eq!(ended.stdout.lines().filter(|line| is_own(line)).count(), 1);
    let printed = format!("{ended:?}");
    assert!(!printed.contains("canary"), "{printed}");
}

#[test]
fn mistakes_say_what_to_do() {
    let up = start(&[]);
    let long = "x".repeat(1025);
    for (arguments, input, code, text) in [
        (
            &["add", "ada"][..],
            "p",
            1,
            "change the user with `fibpro user passwd`",
        ),
        (
            &["add", "e:ve"],
            "p",
            1,
            "username: must not contain a colon",
        ),
        (
            &["add", "eve", "--role", "Dev"],
            "p",
            1,
            "roles: each must have",
        ),
        (&["add", "eve"], "", 2, "standard input has no password"),
        (
            &["add", "eve"],
            "one\ntwo\n",
            2,
            "standard input has several lines",
        ),
        (
            &["add", "eve"],
            "a\tb",
            1,
            "must not contain control characters",
        ),
        (&["add", "eve"], &long, 1, "must have at most 1024 bytes"),
        (&["add", "eve", CANARY], "", 2, "unexpected argument"),
        (
            &["add", "eve", "--password-file", "/nowhere/file"],
            "",
            2,
            "--password-file /nowhere/file",
        ),
        (
            &["passwd", "eve"],
            "p",
            1,
            "add the user with `fibpro user add`",
        ),
        (
            &["role", "eve", "--add", "a"],
            "",
            1,
            "user eve does not exist",
        ),
        (&["role", "ada"], "", 2, "--add <ROLE>"),
        (
            &["role", "ada", "--add", "a", "--remove", "a"],
            "",
            1,
            "the role a is added as well",
        ),
        (&["deposit", "ada", "0"], "", 1, "change: must be 1 to"),
        (&["deposit", "ada", "-11"], "", 1, "insufficient credit(10)"),
        (&["deposit", "ada", "1.5"], "", 2, "invalid value '1.5'"),
        (
            &["show", "eve"],
            "",
            1,
            "add the user with `fibpro user add`",
        ),
        (&["show", "ada", "--limit", "0"], "", 2, "1..=1000"),
        (
            &["show", "ada", "--environment", "dev"],
            "",
            1,
            "pass `--environment`",
        ),
        (
            &["show", "ada", "--environment", "a b"],
            "",
            2,
            "--environment (RPC_ENVIRONMENT)",
        ),
    ] {
        let ended = user(&up, arguments, input);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (Some(code), ""),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(text), "{text}: {ended:?}");
        // The chain of a call begins with the line of the command.
        let is_of_a_call = ended.stderr.contains("[request ");
        let names_the_line = ended.stderr.contains("fibpro/src/command/user/mod.rs:");
        assert_eq!(names_the_line, is_of_a_call, "{ended:?}");
        assert!(!ended.stderr.contains("library/"), "{ended:?}");
    }
    let endpoint = format!("userstore={}", up.url("userstore"));
    let unsigned = user_at(&["show", "ada", "--endpoint", &endpoint], "");
    assert_eq!(unsigned.code, Some(1));
    assert!(
        unsigned.stderr.contains("pass `--identity-key-file"),
        "{unsigned:?}"
    );
    let away = user_at(
        &[
            "deposit",
            "ada",
            "1",
            "--endpoint",
            "userstore=http://127.0.0.1:1",
        ],
        "",
    );
    // Nothing was sent, so there is no key to repeat it with.
    assert!(
        away.stderr.contains("unavailable") && !away.stderr.contains("--key"),
        "{away:?}"
    );
}

/// A terminal, and its keyboard.
struct Terminal {
    screen: File,
    keyboard: File,
}

impl Terminal {
    /// Starts `fibpro user add` with this terminal as its standard input.
    fn add_user(up: &Up, name: &str) -> (Self, RunningCommand) {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let path = path.to_str().unwrap();
        let open = || File::options().read(true).write(true).open(path).unwrap();
        let mut command = command(env!("CARGO_BIN_EXE_fibpro"), &["user", "add", name]);
        command.args(target(up)).stdin(Stdio::from(open()));
        let terminal = Self {
            screen: open(),
            keyboard: File::from(master.as_fd().try_clone_to_owned().unwrap()),
        };
        (terminal, RunningCommand::start(command))
    }

    fn has_echo(&self) -> bool {
        let modes = tcgetattr(&self.screen).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }
}

#[test]
fn a_terminal_shows_no_password() {
    let up = start(&[]);
    for (first, second, code) in [(CANARY, CANARY, 0), (CANARY, "other", 1)] {
        let name = format!("user{code}");
        let (mut terminal, mut running) = Terminal::add_user(&up, &name);
        assert_eq!(running.stderr_line(), format!("Password for {name}:"));
        assert!(!terminal.has_echo());
        writeln!(terminal.keyboard, "{first}").unwrap();
        assert_eq!(running.stderr_line(), "Repeat it:");
        writeln!(terminal.keyboard, "{second}").unwrap();
        let ended = running.ended();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(terminal.has_echo());
        let differ = ended
            .stderr
            .contains("the two passwords differ: nothing was changed");
        assert_eq!(differ, code == 1, "{ended:?}");
        let printed = format!("{ended:?}");
        assert!(
            !printed.contains(CANARY) && !printed.contains("other"),
            "{printed}"
        );
        let status = if code == 0 { 403 } else { 401 };
        assert_eq!(purchase(&up, (&name, CANARY)).status, status);
    }
}

/// Ctrl-C, the end of a session and `kill`, while a password is asked for.
#[test]
fn a_signal_at_the_prompt_restores_the_terminal() {
    let up = start(&[]);
    for (signal, typed) in [
        ("-INT", None),
        ("-INT", Some(CANARY)),
        ("-TERM", None),
        ("-HUP", Some(CANARY)),
    ] {
        let (mut terminal, mut running) = Terminal::add_user(&up, "eve");
        assert_eq!(running.stderr_line(), "Password for eve:");
        if let Some(typed) = typed {
            writeln!(terminal.keyboard, "{typed}").unwrap();
            assert_eq!(running.stderr_line(), "Repeat it:");
        }
        assert!(!terminal.has_echo());
        running.signal(signal);
        let ended = running.ended();
        assert_eq!(ended.code, Some(1), "{signal}: {ended:?}");
        assert!(terminal.has_echo(), "{signal}");
        let canceled = "canceled: nothing was changed";
        assert!(ended.stderr.contains(canceled), "{signal}: {ended:?}");
        assert!(!format!("{ended:?}").contains(CANARY), "{ended:?}");
    }
    let shown = user(&up, &["show", "eve"], "");
    assert!(
        shown.stderr.contains("user eve does not exist"),
        "{shown:?}"
    );
}
