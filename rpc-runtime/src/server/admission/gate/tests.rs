use std::pin::pin;
use std::sync::atomic::AtomicUsize;

use tokio::time::{advance, timeout};

use super::*;

fn gate(running: usize, queued: usize) -> Gate {
    Gate::new(&Limits {
        running_calls: running,
        queued_calls: queued,
        queue_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
}

fn rejection(entered: Result<Permit<'_>, AdmitError>) -> AdmitError {
    entered.expect_err("the call was admitted")
}

/// Polls a future once, which is enough to join the queue.
async fn once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test(start_paused = true)]
async fn slots_bound_running_calls_and_the_queue_is_fifo() {
    let gate = gate(1, 2);
    let running = gate.enter(None).await.unwrap();
    let mut first = pin!(gate.enter(None));
    let mut second = pin!(gate.enter(None));
    assert!(once(first.as_mut()).await.is_none());
    assert!(once(second.as_mut()).await.is_none());
    assert_eq!(
        rejection(gate.enter(None).await),
        AdmitError::Busy,
        "the queue is full"
    );
    drop(running);
    assert!(once(second.as_mut()).await.is_none(), "it was not its turn");
    let permit = once(first.as_mut()).await.unwrap().unwrap();
    drop(permit);
    drop(once(second.as_mut()).await.unwrap().unwrap());
    assert_eq!(gate.state.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_the_queue_timeout_or_deadline() {
    let gate = gate(1, 9);
    let running = gate.enter(None).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(rejection(gate.enter(None).await), AdmitError::Busy);
    assert!(start.elapsed() >= Duration::from_millis(50));
    // The deadline uses the real clock, which this test does not pause.
    let deadline = Instant::now();
    assert_eq!(
        rejection(gate.enter(Some(deadline)).await),
        AdmitError::Late
    );
    assert!(gate.queue().waiting.is_empty());
    drop(running);
    assert_eq!(gate.state.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_passes_its_slot_on() {
    let gate = gate(1, 2);
    let running = gate.enter(None).await.unwrap();
    let mut gone = Box::pin(gate.enter(None));
    let mut next = pin!(gate.enter(None));
    assert!(once(gone.as_mut()).await.is_none());
    assert!(once(next.as_mut()).await.is_none());
    // A slot is handed over, and its new owner is dropped before it takes it.
    drop(running);
    drop(gone);
    drop(once(next.as_mut()).await.unwrap().unwrap());
    assert_eq!(gate.state.load(Ordering::Relaxed), 0);

    let running = gate.enter(None).await.unwrap();
    for _ in 0..10 {
        let mut gone = Box::pin(gate.enter(None));
        assert!(once(gone.as_mut()).await.is_none());
    }
    assert!(gate.queue().waiting.is_empty());
    drop(running);
    assert_eq!(gate.state.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn an_owned_permit_occupies_one_slot() {
    let gate = Arc::new(gate(1, 0));
    let permit = gate
        .enter(None)
        .await
        .unwrap()
        .into_owned(Arc::clone(&gate));
    assert_eq!(rejection(gate.enter(None).await), AdmitError::Busy);
    advance(Duration::from_secs(60)).await;
    assert_eq!(rejection(gate.enter(None).await), AdmitError::Busy);
    drop(permit);
    drop(gate.enter(None).await.unwrap());
}

#[tokio::test]
async fn a_gate_without_slots_admits_no_call() {
    assert_eq!(rejection(gate(0, 0).enter(None).await), AdmitError::Busy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_slot_is_lost_or_created_under_cancellation() {
    let gate = Arc::new(gate(3, 5));
    let running = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..32 {
        let (gate, running) = (Arc::clone(&gate), Arc::clone(&running));
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut admitted = 0;
            for _ in 0..500 {
                let turns = random.u32(0..50);
                let cancelled = async {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                };
                let permit = tokio::select! {
                    biased;
                    Ok(permit) = gate.enter(None) => permit,
                    () = cancelled => continue,
                };
                assert!(running.fetch_add(1, Ordering::SeqCst) < 3);
                for _ in 0..random.u32(0..4) {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                admitted += 1;
                drop(permit);
            }
            admitted
        });
    }
    let all = timeout(Duration::from_secs(60), tasks.join_all()).await;
    let admitted: usize = all.expect("a task hangs").into_iter().sum();
    assert!(admitted > 1000, "{admitted}");
    assert_eq!(gate.state.load(Ordering::SeqCst), 0);
    assert!(gate.queue().waiting.is_empty());
}
