//! Starting and stopping a server as a process: options, variables, addresses, signals.

/// The help of a program that flattens the options.
mod help;
/// Programs with their own subscriber, and `RUST_LOG`.
mod log;
/// Repeated signals, SIGHUP, lame duck, rolling restart.
mod signals;
/// Variables that are empty or invalid, and listen addresses.
mod variables;

use std::net::SocketAddr;
use std::process::Command;

use rpc_runtime::testing::{Process, ProcessOutput};
use rpc_tests::signals::undisturbed;
use rustix::process::{Pid, Signal, kill_process};

/// Returns the command of the last service of the chain, without the settings of the test run.
fn back() -> Command {
    prepared(undisturbed(env!("CARGO_BIN_EXE_chain_service")))
}

fn prepared(mut command: Command) -> Command {
    clear(&mut command);
    command.arg("back").env("RUST_LOG", "info");
    command
}

/// Removes the settings of the test run.
fn clear(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RPC_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
}

/// Runs a program that does not start a server.
fn output(command: &mut Command) -> ProcessOutput {
    Process::spawn(command).unwrap().wait().unwrap()
}

/// Starts a server on a free port.
fn start(command: &mut Command) -> Process {
    Process::start(command.args(["--listen", "127.0.0.1:0"])).unwrap()
}

fn send(process: &Process, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(process.id()).unwrap());
    kill_process(id.unwrap(), signal).unwrap();
}

/// Stops a server, and returns its output.
fn stop(process: &mut Process) -> ProcessOutput {
    process.terminate().unwrap();
    let ended = process.wait().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    ended
}

fn address(process: &Process) -> SocketAddr {
    let url = process.url();
    url.strip_prefix("http://").unwrap().parse().unwrap()
}
