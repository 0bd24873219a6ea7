use std::time::Duration;

use super::*;
use crate::client::outlier::{Node as _, Outcome};
use crate::discovery::DynamicAddresses;

const URLS: [&str; 3] = ["http://a:1", "http://b:1", "http://c:1"];
const MS: Duration = Duration::from_millis(1);

fn watched<const N: usize>(urls: [&str; N]) -> (DynamicAddresses, Balancer) {
    let watch = DynamicAddresses::new("pricing", urls);
    (
        watch.clone(),
        Balancer::discovered(Arc::new(watch), ConnectOptions::default()),
    )
}

fn target(guard: &InFlightGuard) -> &str {
    guard.endpoint().transport().target()
}

/// Picks an endpoint and reports this outcome if it is that of `url`, otherwise a success.
fn attempt(balancer: &Balancer, url: &str, outcome: Outcome) -> bool {
    let BalancerKind::Discovered(discovered) = &balancer.kind else {
        panic!("of a list");
    };
    let guard = balancer.pick(None).unwrap();
    let is_it = target(&guard) == url;
    let outcome = if is_it { outcome } else { Outcome::Success };
    let health = guard.endpoint().health();
    health.record(outcome, MS, discovered.since.elapsed());
    is_it
}

/// Makes an address fail until it is ejected.
fn eject(balancer: &Balancer, url: &str) {
    fastrand::seed(1);
    for _ in 0..200 {
        attempt(balancer, url, Outcome::Failure);
    }
}

/// The number of attempts of `count` that an address gets.
fn share(balancer: &Balancer, url: &str, count: usize) -> usize {
    let picked = (0..count).map(|_| balancer.pick(None).unwrap());
    picked.filter(|guard| target(guard) == url).count()
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
    assert_eq!(endpoint.health().in_flight(), 1);
    drop(guard);
    assert_eq!(endpoint.health().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_avoids_the_first_address_if_it_can() {
    let (watch, balancer) = watched(URLS);
    for _ in 0..100 {
        let first = balancer.pick(None).unwrap();
        let second = balancer.pick(Some(first.endpoint())).unwrap();
        assert_ne!(target(&first), target(&second));
        assert!(balancer.has_other(first.endpoint()));
    }
    watch.set(["http://a:1"]);
    let first = balancer.pick(None).unwrap();
    let second = balancer.pick(Some(first.endpoint())).unwrap();
    assert_eq!(target(&second), "http://a:1");
    assert!(!balancer.has_other(first.endpoint()));
}

#[tokio::test(start_paused = true)]
async fn an_ejected_address_gets_a_probe_in_a_second() {
    let (_, balancer) = watched(["http://a:1", "http://b:1"]);
    eject(&balancer, "http://b:1");
    assert_eq!(share(&balancer, "http://b:1", 100), 0);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(1)).await;
        // One at a time, whether it has ended or not.
        assert_eq!(share(&balancer, "http://b:1", 100), 1);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    eject_is_over(&balancer, "http://b:1");
}

/// Reports the success of a probe, after which the address gets calls again.
fn eject_is_over(balancer: &Balancer, url: &str) {
    while !attempt(balancer, url, Outcome::Success) {}
    assert!(share(balancer, url, 100) > 20);
}

#[tokio::test(start_paused = true)]
async fn all_addresses_that_fail_are_tried() {
    let (watch, balancer) = watched(URLS);
    for url in URLS {
        eject(&balancer, url);
    }
    let per_address = |balancer: &Balancer| {
        let share = |url| share(balancer, url, 300);
        URLS.map(share)
    };
    // One of three is ejected at most.
    let ejected = per_address(&balancer).iter().filter(|n| **n == 0).count();
    assert!(ejected <= 1, "{:?}", per_address(&balancer));
    // What is left of a list is used, whatever it has done before.
    for url in URLS {
        watch.set([url]);
        assert_eq!(share(&balancer, url, 10), 10);
    }
    watch.set([""; 0]);
    let error = balancer.pick(None).unwrap_err();
    assert_eq!(error.message(), "no server address is known for pricing");
}

#[tokio::test(start_paused = true)]
async fn the_health_survives_a_list_that_flaps() {
    let (watch, balancer) = watched(["http://a:1", "http://b:1"]);
    eject(&balancer, "http://b:1");
    for urls in [&["http://a:1"][..], &[], &["http://c:1"], &["no url"]] {
        watch.set(urls);
        let _ = balancer.pick(None);
        watch.set(["http://a:1", "http://b:1"]);
        assert_eq!(share(&balancer, "http://b:1", 100), 0, "{urls:?}");
    }
    // The number of addresses that are remembered is limited.
    for n in 0..3 * REMEMBERED {
        watch.set([format!("http://other-{n}:1")]);
        let _ = balancer.pick(None);
    }
    let BalancerKind::Discovered(discovered) = &balancer.kind else {
        panic!("of a list");
    };
    let set = discovered.set.read_unpoisoned();
    assert_eq!(set.left.len(), REMEMBERED);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_listed_twice_is_one() {
    let (watch, balancer) = watched(["http://a:80", "http://A/", "http://b:1", "http://a"]);
    assert_eq!(
        balancer.pick(None).unwrap().endpoint().health().in_flight(),
        1
    );
    let share = share(&balancer, "http://b:1", 400);
    assert!((150..250).contains(&share), "{share} of 400");
    eject(&balancer, "http://a:80");
    // The first form in which it was listed is shown, and its health is kept.
    watch.set(["http://b:1", "http://a"]);
    assert_eq!(self::share(&balancer, "http://a:80", 100), 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_address_is_left_alone_for_its_delay() {
    fastrand::seed(1);
    let (_, balancer) = watched(["http://a:1", "http://b:1"]);
    let busy = Outcome::Busy(300 * MS);
    while !attempt(&balancer, "http://b:1", busy) {}
    assert_eq!(share(&balancer, "http://b:1", 100), 0);
    tokio::time::advance(301 * MS).await;
    assert!(share(&balancer, "http://b:1", 100) > 30);
}

#[tokio::test(start_paused = true)]
async fn two_busy_addresses_are_compared_as_usable_ones() {
    let (_, balancer) = watched(["http://a:1", "http://b:1"]);
    let busy = Outcome::Busy(Duration::MAX);
    while !attempt(&balancer, "http://a:1", busy) {}
    assert!(attempt(&balancer, "http://b:1", busy), "the other one");
    // Both have rejected one call, so the one with fewer calls in flight gets the next one. Had one
    // rejected more, it would be left out of some comparisons, whatever is in flight.
    let first = balancer.pick(None).unwrap();
    let second = balancer.pick(None).unwrap();
    assert_ne!(target(&first), target(&second));
    assert!(!balancer.has_other(first.endpoint()));
    // No server is left alone for more than a second because it asks for it.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(balancer.has_other(first.endpoint()));
}

#[tokio::test(start_paused = true)]
async fn of_two_busy_addresses_one_rejects_more() {
    fastrand::seed(1);
    let (_, balancer) = watched(["http://a:1", "http://b:1"]);
    let busy = Outcome::Busy(Duration::MAX);
    while !attempt(&balancer, "http://a:1", busy) {}
    for _ in 0..4 {
        while !attempt(&balancer, "http://b:1", busy) {}
    }
    // It keeps most of its turns: both are needed.
    let share = share(&balancer, "http://b:1", 300);
    assert!((75..140).contains(&share), "{share} of 300");
}

#[tokio::test(start_paused = true)]
async fn a_few_rejections_leave_no_crowd_of_addresses() {
    fastrand::seed(1);
    let (_, balancer) = watched(URLS);
    let busy = Outcome::Busy(Duration::MAX);
    while !attempt(&balancer, "http://a:1", busy) {}
    assert_eq!(share(&balancer, "http://a:1", 100), 0);
    while !attempt(&balancer, "http://b:1", busy) {}
    // The third one may not have the capacity for the calls of all, but gets the retries.
    for url in URLS {
        let share = share(&balancer, url, 300);
        assert!(share > 60, "{url}: {share} of 300");
    }
    for _ in 0..100 {
        let first = balancer.pick(None).unwrap();
        let retry = balancer.pick(Some(first.endpoint())).unwrap();
        assert!(target(&first) == "http://c:1" || target(&retry) == "http://c:1");
    }
    // Those that reject most calls are left alone.
    for _ in 0..400 {
        let guard = balancer.pick(None).unwrap();
        let is_busy = target(&guard) != "http://c:1";
        let outcome = if is_busy { busy } else { Outcome::Success };
        guard
            .endpoint()
            .health()
            .record(outcome, MS, Duration::ZERO);
    }
    assert_eq!(share(&balancer, "http://c:1", 100), 100);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_about_a_single_address() {
    let transport = Transport::from_url("http://a:1", &ConnectOptions::default()).unwrap();
    let balancer = Balancer::single(transport);
    let guard = balancer.pick(None).unwrap();
    assert!(format!("{:?}", guard.endpoint()).contains("recorded_since: None"));
    assert!(!balancer.has_other(guard.endpoint()));
    let (_, balancer) = watched(URLS);
    let balancer = balancer.with_settings(|all| all.outlier_detection = false);
    let guard = balancer.pick(None).unwrap();
    assert!(format!("{:?}", guard.endpoint()).contains("recorded_since: None"));
}
