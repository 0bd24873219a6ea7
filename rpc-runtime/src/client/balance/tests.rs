use super::*;
use crate::discovery::DynamicAddresses;

const URLS: [&str; 3] = ["http://a:1", "http://b:1", "http://c:1"];

fn watched<const N: usize>(urls: [&str; N]) -> (DynamicAddresses, Balancer) {
    let watch = DynamicAddresses::new("pricing", urls);
    (watch.clone(), Balancer::discovered(Arc::new(watch)))
}

fn target(guard: &InFlightGuard) -> String {
    guard.endpoint.transport.target().to_string()
}

fn fail(guard: InFlightGuard) {
    guard.finish(&Error::without_location(Code::Unavailable, "down").into());
}

/// Reports failures of an address until its breaker opens. Attempts to other addresses are dropped.
fn break_down(balancer: &Balancer, url: &str) {
    for _ in 0..1000 {
        let Ok(guard) = balancer.pick(None) else {
            return;
        };
        if target(&guard) == url {
            fail(guard);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_less_busy_of_two_gets_the_call() {
    let (_, balancer) = watched(URLS);
    // Two of three addresses are drawn, so the most loaded one is never chosen.
    let guards: Vec<_> = (0..300).map(|_| balancer.pick(None).unwrap()).collect();
    for url in URLS {
        let load = guards.iter().filter(|guard| target(guard) == url).count();
        assert!((95..=105).contains(&load), "{url} has {load}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_guard_is_not_in_flight() {
    let (_, balancer) = watched(["http://a:1"]);
    let guard = balancer.pick(None).unwrap();
    let endpoint = Arc::clone(guard.endpoint());
    assert_eq!(endpoint.load(), 1);
    drop(guard);
    assert_eq!(endpoint.load(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_avoids_the_first_address_if_it_can() {
    let (watch, balancer) = watched(URLS);
    for _ in 0..100 {
        let first = balancer.pick(None).unwrap();
        let second = balancer.pick(Some(first.endpoint())).unwrap();
        assert_ne!(target(&first), target(&second));
    }
    watch.set(["http://a:1"]);
    let first = balancer.pick(None).unwrap();
    assert_eq!(
        target(&balancer.pick(Some(first.endpoint())).unwrap()),
        "http://a:1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failing_address_gets_one_probe_after_a_wait() {
    let (_, balancer) = watched(["http://a:1", "http://b:1"]);
    break_down(&balancer, "http://b:1");
    for _ in 0..100 {
        assert_eq!(target(&balancer.pick(None).unwrap()), "http://a:1");
    }
    tokio::time::advance(Duration::from_millis(500)).await;
    let held: Vec<_> = (0..100).map(|_| balancer.pick(None).unwrap()).collect();
    let probes = held.iter().filter(|guard| target(guard) == "http://b:1");
    assert_eq!(
        probes.count(),
        1,
        "one probe while its outcome is not known"
    );
}

#[tokio::test(start_paused = true)]
async fn the_error_states_that_all_breakers_are_open() {
    let (watch, balancer) = watched(["http://a:1", "http://b:1"]);
    break_down(&balancer, "http://a:1");
    break_down(&balancer, "http://b:1");
    let error = balancer.pick(None).unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(
        error.message().contains("all 2 addresses of pricing")
            && error.message().contains("circuit breaker is open"),
        "{error}"
    );
    assert!(error.retries_exhausted() && error.delivery() == Delivery::Unsent);

    watch.set([""; 0]);
    let error = balancer.pick(None).unwrap_err();
    assert_eq!(error.message(), "no server address is known for pricing");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_stay_keep_their_breakers() {
    let (watch, balancer) = watched(["http://a:1", "http://b:1"]);
    break_down(&balancer, "http://b:1");
    watch.set(["http://b:1", "http://c:1", "no url"]);
    for _ in 0..100 {
        assert_eq!(target(&balancer.pick(None).unwrap()), "http://c:1");
    }
    // An equal list has no effect.
    watch.set(["http://b:1", "http://c:1", "no url"]);
    assert_eq!(target(&balancer.pick(None).unwrap()), "http://c:1");
}

#[tokio::test(start_paused = true)]
async fn errors_with_a_retry_delay_do_not_open_the_breaker() {
    let (_, balancer) = watched(["http://a:1"]);
    for _ in 0..100 {
        let error = Error::without_location(Code::Unavailable, "busy")
            .with_retry_after(Duration::from_millis(50));
        balancer.pick(None).unwrap().finish(&error.into());
    }
    assert!(balancer.pick(None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn failures_of_dependencies_do_not_open_the_breaker() {
    let (_, balancer) = watched(["http://a:1"]);
    for _ in 0..100 {
        let mut error = Error::without_location(Code::Unavailable, "the database is away");
        error.set_retries_exhausted(true);
        balancer.pick(None).unwrap().finish(&error.into());
    }
    assert!(balancer.pick(None).is_ok());
}
