use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_fails_calls_at_the_deadline() {
    let mut chain = Chain::start().await;
    chain.client().read().await.unwrap();
    chain.back.stop().unwrap();
    let error = error_of(chain.client().put().timeout(SHORT)).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    let error = error_of(chain.client().add().timeout(SHORT)).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    chain.back.resume().unwrap();
    chain.works_again().await;
    // The front itself is stopped: only its caller can enforce the deadline.
    chain.front.stop().unwrap();
    let error = error_of(chain.client().read().timeout(SHORT)).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    chain.front.resume().unwrap();
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_is_unavailable_until_restarted() {
    let mut chain = Chain::start().await;
    let client = chain.client();
    let call = tokio::spawn(async move { client.hold().timeout(TIMEOUT * 2).await });
    holding(&chain.back, 1).await;
    let at = address(&chain.back).to_string();
    chain.back.kill9().unwrap();
    let error = tokio::time::timeout(TIMEOUT, call)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert!(
        error.message().contains("may have been executed"),
        "{error:#}"
    );
    let error = error_of(chain.client().put()).await;
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    chain.back = service_at(&at, "back", &[], &[]);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_restarted_process_serves_again() {
    let mut chain = Chain::start().await;
    let load: Vec<_> = (0..4)
        .map(|_| {
            let client = chain.client();
            tokio::spawn(async move {
                let mut failed = 0;
                loop {
                    match client.put().timeout(TIMEOUT).await {
                        Ok(()) if failed > 0 => return failed,
                        Ok(()) => {}
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error:#}");
                            failed += 1;
                        }
                    }
                }
            })
        })
        .collect();
    let at = address(&chain.back).to_string();
    chain.back.kill9().unwrap();
    // Each caller has seen the fault before it ends.
    until(async || numbers(&chain.front, "chain.v1.Front/Put").await.0 >= 100).await;
    chain.back = service_at(&at, "back", &[], &[]);
    for caller in load {
        let failed = tokio::time::timeout(TIMEOUT, caller)
            .await
            .unwrap()
            .unwrap();
        assert!(failed > 0);
    }
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_under_load_fails_no_call() {
    let mut first = service("back", &[], &["--lame-duck", "200ms"]);
    let second = service("back", &[], &[]);
    let middle = service("middle", &[first.url(), second.url()], &[]);
    let front = service("front", &[middle.url()], &[]);
    let client = FrontClient::connect(front.url()).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (client, stopped) = (client.clone(), stopped.clone());
            tokio::spawn(async move {
                let mut calls = 0;
                while !*stopped.borrow() {
                    // Must not be retried once it was sent: the stopping server must respond to
                    // accepted calls.
                    client.add().timeout(TIMEOUT).await.unwrap();
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    until(async || numbers(&first, "chain.v1.Back/Add").await.0 >= 50).await;
    first.terminate().unwrap();
    let ended = tokio::task::spawn_blocking(move || first.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let (before, _) = numbers(&second, "chain.v1.Back/Add").await;
    until(async || numbers(&second, "chain.v1.Back/Add").await.0 >= before + 50).await;
    stop.send_replace(true);
    let mut calls = 0;
    for caller in load {
        calls += caller.await.unwrap();
    }
    assert!(calls >= 100, "{calls}");
}

/// The descriptor limit is per process, so the server needs a separate process.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_out_of_descriptors_waits_and_continues() {
    use rpc_tests::raw::{Raw, post, request};
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    const READ: &str = "/chain.v1.Back/Read";

    let back = service("back", &[], &[]);
    // A pool may open another connection at any time, so the test holds its own.
    let mut open_before = Raw::connect(address(&back)).await;
    assert_eq!(open_before.ask(post(READ, "{}")).await.status, 200);
    let open = std::fs::read_dir(format!("/proc/{}/fd", back.id()))
        .unwrap()
        .count() as u64;
    let few = Rlimit {
        current: Some(open + 4),
        maximum: Some(open + 64),
    };
    let id = Pid::from_raw(i32::try_from(back.id()).unwrap());
    prlimit(id, Resource::Nofile, few).unwrap();
    let mut idle = Vec::new();
    for _ in 0..16 {
        idle.push(
            tokio::net::TcpStream::connect(address(&back))
                .await
                .unwrap(),
        );
    }
    tokio::task::block_in_place(|| back.wait_for_stderr("failed to accept a connection")).unwrap();
    // Open connections are served meanwhile.
    assert_eq!(open_before.ask(post(READ, "{}")).await.status, 200);
    drop(idle);
    let mut new = Raw::connect(address(&back)).await;
    assert_eq!(
        new.ask(request("GET", "/healthz", &[], b"")).await.status,
        200
    );
    let warnings = back
        .stderr()
        .matches("failed to accept a connection")
        .count();
    assert!(warnings < 100, "the loop spins: {warnings} warnings");
}
