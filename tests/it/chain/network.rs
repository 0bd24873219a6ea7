use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use rpc_runtime::testing::NetworkFault;
use tokio::sync::watch;

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
    // A call may expire before it reaches the back, which then never sees it.
    let mut timeout = SHORT;
    until(async || {
        let error = error_of(chain.client().hold().timeout(timeout)).await;
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error:#}");
        timeout *= 2;
        holding(&chain.back, 0).await;
        let (requests, _) = numbers(&chain.back, "chain.v1.Back/Hold").await;
        assert!(requests <= 1, "{requests}");
        requests == 1
    })
    .await;
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
    for fault in [
        NetworkFault::Delay(SHORT),
        NetworkFault::Throttle {
            bytes: 1,
            every: Duration::from_millis(2),
        },
    ] {
        chain.to_back.set(fault);
        chain.client().put().timeout(TIMEOUT).await.unwrap();
        let error = error_of(chain.client().put().timeout(SHORT / 4)).await;
        assert_eq!(error.code(), Code::DeadlineExceeded, "{fault:?}: {error:#}");
    }
    chain.to_back.set(NetworkFault::None);
    chain.works_again().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_repeats_no_unsafe_call() {
    let chain = Chain::start().await;
    // Cut in the response: it was executed, which the caller cannot know. Once, although a caller
    // could retry.
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
    // Calls that succeeded and that failed, of each caller.
    let (stop, stopped) = watch::channel(false);
    let counts: [Arc<[AtomicU64; 2]>; 4] = std::array::from_fn(|_| Arc::default());
    let callers: Vec<_> = counts
        .iter()
        .map(|counts| {
            let (client, counts, stopped) = (chain.client(), Arc::clone(counts), stopped.clone());
            tokio::spawn(async move {
                let (mut done, mut unknown) = (0, 0);
                while !*stopped.borrow() {
                    match client.add().timeout(TIMEOUT).await {
                        Ok(_) => {
                            done += 1;
                            counts[0].fetch_add(1, Ordering::SeqCst);
                        }
                        Err(error) => {
                            assert_eq!(error.code(), Code::Unavailable, "{error:#}");
                            unknown +=
                                u64::from(error.message().contains("may have been executed"));
                            counts[1].fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
                (done, unknown)
            })
        })
        .collect();
    // Waits until each caller has made `more` calls with this result.
    let each = async |result: usize, more: u64| {
        let read = || {
            counts
                .iter()
                .map(|count| count[result].load(Ordering::SeqCst))
        };
        let before: Vec<_> = read().collect();
        until(async || {
            assert!(callers.iter().all(|caller| !caller.is_finished()));
            read()
                .zip(&before)
                .all(|(now, before)| now >= before + more)
        })
        .await;
    };
    for _ in 0..4 {
        each(0, 5).await;
        chain.to_back.refuse().await;
        each(1, 1).await;
        chain.to_back.accept().await.unwrap();
    }
    each(0, 5).await;
    stop.send_replace(true);
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
