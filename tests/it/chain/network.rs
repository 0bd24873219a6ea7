use super::*;
use rpc_runtime::testing::NetworkFault;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadline_source_and_hops_reach_the_last_service() {
    let chain = Chain::start().await;
    let start = Instant::now();
    let seen = chain.client().read().timeout(TIMEOUT).await.unwrap();
    assert_eq!(seen.hops, 3);
    assert!(seen.source.starts_with("middle@prod/"), "{seen:?}");
    let left = Duration::from_millis(seen.left_ms.unwrap());
    // The rest of the time has passed; 4 ms allow for rounding at each hop.
    assert!(left <= TIMEOUT, "{left:?}");
    assert!(
        start.elapsed() + Duration::from_millis(4) >= TIMEOUT - left,
        "{left:?}"
    );
    // The caller's timeout holds for the whole chain and ends for all of it.
    let error = error_of(chain.client().hold().timeout(SHORT)).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    holding(&chain.back, 0).await;
    assert_eq!(numbers(&chain.back, "chain.v1.Back/Hold").await.0, 1);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_connection_is_unavailable() {
    let mut chain = Chain::start().await;
    chain.client().read().await.unwrap();
    chain.to_back.refuse().await;
    for _ in 0..8 {
        for call in [
            error_of(chain.client().put()).await,
            error_of(chain.client().add()).await,
        ] {
            assert_eq!(call.code(), Code::Unavailable, "{call:#}");
            let mut hops = call.hops().iter();
            assert!(
                hops.any(|hop| hop.source.starts_with("middle@")),
                "{call:#}"
            );
        }
    }
    chain.to_back.accept().await.unwrap();
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_ends_at_the_deadline() {
    let chain = Chain::start().await;
    chain.client().read().await.unwrap();
    // Existing connections are half open from now on, as after a power failure of the host.
    chain.to_back.set(NetworkFault::BlackHole);
    for _ in 0..3 {
        let error = error_of(chain.client().put().timeout(SHORT)).await;
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    }
    chain.to_middle.set(NetworkFault::BlackHole);
    let error = error_of(chain.client().add().timeout(SHORT)).await;
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
    chain.to_back.set(NetworkFault::None);
    chain.to_middle.set(NetworkFault::None);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_network_only_costs_time() {
    let chain = Chain::start().await;
    for trouble in [
        NetworkFault::Delay(SHORT),
        NetworkFault::Throttle {
            bytes: 1,
            every: Duration::from_millis(2),
        },
    ] {
        chain.to_back.set(trouble);
        chain.client().put().timeout(TIMEOUT).await.unwrap();
        let error = error_of(chain.client().put().timeout(SHORT / 4)).await;
        assert_eq!(
            error.code(),
            Code::DeadlineExceeded,
            "{trouble:?}: {error:#}"
        );
    }
    chain.to_back.set(NetworkFault::None);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_repeats_no_unsafe_call() {
    let chain = Chain::start().await;
    // Cut in the response: it was executed, which the caller cannot know. Once, although a caller could retry.
    for after in [0, 20] {
        let before = chain.added().await;
        chain.to_back.set(NetworkFault::CutResponses { after });
        let error = error_of(chain.client().add()).await;
        chain.to_back.set(NetworkFault::None);
        assert_eq!(error.code(), Code::Unavailable, "{error:#}");
        assert!(
            error.message().contains("may have been executed"),
            "{error:#}"
        );
        assert_eq!(chain.added().await, before + 1, "cut after {after}");
    }
    // Cut in the request: it was not executed, which the caller cannot know either.
    let before = chain.added().await;
    chain.to_back.set(NetworkFault::CutRequests { after: 60 });
    let error = error_of(chain.client().add()).await;
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    assert!(
        error.message().contains("may have been executed"),
        "{error:#}"
    );
    let error = error_of(chain.client().put()).await;
    assert_eq!(error.code(), Code::Unavailable, "{error:#}");
    chain.to_back.set(NetworkFault::None);
    assert_eq!(chain.added().await, before);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_network_hangs_and_loses_no_call() {
    let mut chain = Chain::start().await;
    let before = chain.added().await;
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let client = chain.client();
            tokio::spawn(async move {
                let (mut done, mut failed, mut unknown) = (0, 0, 0);
                // Until each caller has seen both states of the network.
                while done < 20 || failed == 0 {
                    match client.add().timeout(TIMEOUT).await {
                        Ok(_) => done += 1,
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error:#}");
                            failed += 1;
                            unknown +=
                                u64::from(error.message().contains("may have been executed"));
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                (done, unknown)
            })
        })
        .collect();
    let flapping = async {
        while callers.iter().any(|caller| !caller.is_finished()) {
            chain.to_back.refuse().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            chain.to_back.accept().await.unwrap();
            // Longer than a circuit breaker stays open the first time.
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
    };
    tokio::time::timeout(TIMEOUT * 2, flapping)
        .await
        .expect("no caller gets through");
    let (mut done, mut unknown) = (0, 0);
    for caller in callers {
        let (d, u) = caller.await.unwrap();
        done += d;
        unknown += u;
    }
    // A successful call was executed once, a failed one at most once.
    let added = chain.added().await - before;
    assert!(
        (done..=done + unknown).contains(&added),
        "{done} done, {unknown} unknown, {added} added"
    );
    chain.works_again().await;
}
