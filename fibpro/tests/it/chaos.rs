//! `fibpro chaos` that is ended before its time.

use rpc_runtime::testing::Process;

use crate::process::{Folder, command, signal_id};

#[test]
fn each_signal_ends_a_run_with_its_services() {
    for (signal, name) in [("-HUP", "SIGHUP"), ("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let folder = Folder::new();
        let data = folder.file("run");
        let mut command = command(
            env!("CARGO_BIN_EXE_fibpro"),
            &["chaos", "--minutes", "1440"],
        );
        command.args(["--faults", "kill", "--folder"]).arg(&data);
        let mut process = crate::process::start(&mut command);
        process.wait_for_stderr("chaos with seed").unwrap();
        signal_id(signal, process.id());
        let ended = Process::wait(&mut process).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let words = format!("ended by {name} before the run was over");
        assert!(ended.stderr.contains(&words), "{ended:?}");
        // The log of the services, which have stopped, is complete.
        assert!(data.is_dir(), "{ended:?}");
    }
}
