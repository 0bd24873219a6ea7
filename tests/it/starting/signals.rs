use std::time::Duration;

use rpc_runtime::Client;
use rpc_tests::chain::BackClient;
use rpc_tests::raw::{Raw, post_with};
use rpc_tests::wait::{until, within};
use tokio::sync::watch;

use super::*;

const SIGTERM: Signal = Signal::TERM;
const SIGINT: Signal = Signal::INT;

/// Starts a server with a call in flight, which takes `time`.
async fn with_call(time: &str) -> (Process, Raw) {
    let process = start(back().arg("--allow-faults"));
    let mut raw = Raw::connect(address(&process)).await;
    let delay = format!("back.add=delay:{time}");
    let call = post_with("/chain.v1.Back/Add", &[("x-rpc-fault", &delay)], "{}");
    raw.send(call).await.unwrap();
    // The delay has begun.
    let waiting = tokio::task::block_in_place(|| process.wait_for_stderr("fault injected"));
    waiting.unwrap();
    (process, raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_of_a_signal_is_the_same_wish() {
    for signals in [
        [SIGTERM, SIGTERM, SIGTERM],
        // Different signals are never merged by the system.
        [SIGINT, SIGTERM, SIGINT],
        [SIGTERM, SIGINT, SIGTERM],
    ] {
        let (mut process, mut raw) = with_call("900ms").await;
        for signal in signals {
            send(&process, signal);
        }
        assert_eq!(raw.response().await.value(), (200, 1.into()), "{signals:?}");
        let ended = tokio::task::block_in_place(|| process.wait()).unwrap();
        assert!(ended.status.success(), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_signal_ends_the_process() {
    let (mut process, _raw) = with_call("25s").await;
    send(&process, SIGTERM);
    until(async || {
        // An error means that the process has ended.
        let _ = process.terminate();
        !process.is_running().unwrap()
    })
    .await;
    let ended = tokio::task::block_in_place(|| process.wait()).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("ended by a second SIGTERM"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lame_duck_of_an_operator_ends_by_signals() {
    let largest = format!("{}s", u64::MAX);
    for (lame_duck, signals, code) in [("0s", 1, 0), ("1ns", 1, 0), (&largest, 2, 1)] {
        let mut process = start(back().args(["--lame-duck", lame_duck]));
        process.terminate().unwrap();
        if signals == 2 {
            let waiting = tokio::task::block_in_place(|| process.wait_for_stderr("lame duck: "));
            waiting.unwrap();
            let mut raw = Raw::connect(address(&process)).await;
            let call = post_with("/chain.v1.Back/Add", &[], "{}");
            assert_eq!(raw.ask(call).await.status, 200, "it still serves");
            // A repeat within a second is the same wish.
            until(async || {
                let _ = process.terminate();
                !process.is_running().unwrap()
            })
            .await;
        }
        let ended = tokio::task::block_in_place(|| process.wait()).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{lame_duck}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
}

#[test]
fn a_hangup_without_keys_is_a_line_in_the_log() {
    let mut process = start(&mut back());
    for _ in 0..2 {
        send(&process, Signal::HUP);
        process
            .wait_for_stderr("SIGHUP: nothing to reload")
            .unwrap();
        assert!(process.is_running().unwrap());
    }
    stop(&mut process);
}

#[test]
fn a_hangup_reloads_the_key_file_or_keeps_the_keys() {
    let path = std::env::temp_dir().join(format!("rpc-hangup-{}", std::process::id()));
    let secret = "0123456789abcdef0123456789abcdef";
    let write = |text: String| {
        std::fs::write(&path, text).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
    };
    write(format!("one {secret}\n"));
    let mut process = start(back().arg("--identity-key-file").arg(&path));
    write(format!("two {secret}\n"));
    send(&process, Signal::HUP);
    process.wait_for_stderr(r#"keys=["two"]"#).unwrap();
    write("not a key".to_owned());
    send(&process, Signal::HUP);
    process.wait_for_stderr("keys are unchanged").unwrap();
    let ended = stop(&mut process);
    assert!(!ended.stderr.contains("nothing to reload"), "{ended:?}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_signal_that_the_parent_ignores_stays_ignored() {
    let command = rpc_tests::signals::ignoring(env!("CARGO_BIN_EXE_chain_service"));
    let mut process = start(&mut prepared(command));
    send(&process, SIGINT);
    // SIGHUP reloads and stops nothing, so it is handled in any case.
    send(&process, Signal::HUP);
    process.wait_for_stderr("nothing to reload").unwrap();
    send(&process, SIGINT);
    let ended = stop(&mut process);
    let by = ended.stderr.find("SIGTERM").expect("stopped by SIGTERM");
    assert!(!ended.stderr[..by].contains("SIGINT"), "{ended:?}");
}

#[test]
fn only_sigterm_has_a_lame_duck_by_default() {
    for (options, signal, lame_duck) in [
        (&[][..], SIGTERM, Some("lame_duck=500ms")),
        (&[], SIGINT, None),
        (&["--lame-duck=0s"], SIGTERM, None),
        (&["--lame-duck=10ms"], SIGTERM, Some("lame_duck=10ms")),
        (&["--lame-duck=10ms"], SIGINT, Some("lame_duck=10ms")),
    ] {
        let mut process = start(back().args(options));
        send(&process, signal);
        let ended = process.wait().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let found = ended.stderr.contains("lame duck: reporting not ready");
        assert_eq!(
            found,
            lame_duck.is_some(),
            "{options:?} {signal:?}: {ended:?}"
        );
        let time = lame_duck.unwrap_or_default();
        assert!(ended.stderr.contains(time), "{options:?}: {ended:?}");
    }
}

/// Two replicas are restarted in turn under load of calls that are not retried once they are sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_loses_no_call() {
    let mut replicas = [start(&mut back()), start(&mut back())];
    let addresses = replicas
        .each_ref()
        .map(|replica| address(replica).to_string());
    let urls = replicas.each_ref().map(|replica| replica.url().to_owned());
    let client = Client::from_urls(urls).unwrap().without_observers();
    let client = BackClient::with_client(client);
    let (stop, stopped) = watch::channel(false);
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut calls = 0_u64;
                while !*stopped.borrow() {
                    client.add().timeout(Duration::from_secs(60)).await?;
                    calls += 1;
                }
                Ok::<_, rpc_runtime::Remote<rpc_runtime::Error>>(calls)
            })
        })
        .collect();
    for _ in 0..2 {
        for (replica, address) in replicas.iter_mut().zip(&addresses) {
            let added = async |least| {
                let url = format!("http://{address}");
                let own = BackClient::connect(&url).unwrap();
                until(async || own.read().await.is_ok_and(|seen| seen.added >= least)).await;
            };
            added(20).await;
            replica.terminate().unwrap();
            let ended = tokio::task::block_in_place(|| replica.wait()).unwrap();
            assert!(ended.status.success(), "{ended:?}");
            let mut command = back();
            command.args(["--listen", address]);
            *replica = tokio::task::block_in_place(|| Process::start(&mut command)).unwrap();
            added(20).await;
        }
    }
    stop.send_replace(true);
    for caller in load {
        let calls = within(caller).await.unwrap().unwrap();
        assert!(calls > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_request_does_not_delay_the_end() {
    let mut process = start(back().arg("--lame-duck=0s"));
    let mut half = Raw::connect(address(&process)).await;
    let call = post_with("/chain.v1.Back/Add", &[], "{}");
    half.send(&call[..call.len() - 1]).await.unwrap();
    let mut other = Raw::connect(address(&process)).await;
    assert_eq!(other.ask(&call).await.status, 200);
    send(&process, SIGTERM);
    // 30 s are the timeouts of the body and of the drain.
    let response = half.response().await;
    assert_eq!(response.error(), (503, "unavailable".to_owned()));
    let ended = tokio::task::block_in_place(|| process.wait()).unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(!ended.stderr.contains("drain timeout reached"), "{ended:?}");
}
