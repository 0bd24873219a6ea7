use std::sync::Arc;

use rpc_runtime::RequestId;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::wait::{until, within};
use tokio::sync::Semaphore;

use super::shop::{DEAD, losing_server};
use super::vault::{BankError, Register, TillError, Vault, once};

/// An error of its own that a handler makes after the error of a dependency.
#[tokio::test]
async fn a_variant_of_its_own_is_not_that_of_a_dependency() {
    let bank = once(DEAD);
    let register = Register::new(move || {
        let bank = bank.clone();
        async move {
            let charged = bank.charge().await.map_err(TillError::from);
            assert!(matches!(charged, Err(TillError::Bank(_))));
            // Here the handler writes the debt to its database, and fails for its own reason.
            Err(TillError::Busy)
        }
    });
    assert_eq!(register.runs_of_a_repeated_call().await, 1);
}

/// The handler makes an error of a dependency, of which it says that nothing was done.
#[tokio::test]
async fn a_made_up_error_of_a_dependency_claims_little() {
    for way in 0..4 {
        for has_charged in [false, true] {
            let vault = Vault::default();
            let running = Running::start(vault.server()).await;
            let bank = once(&running.url());
            let register = Register::new(move || {
                let bank = bank.clone();
                async move {
                    if has_charged {
                        bank.charge().await?;
                    }
                    let error = Error::new(Code::Unavailable, "made up").not_executed();
                    let remote = Remote::<BankError>::from_error(error);
                    Err(match way {
                        0 => TillError::from(remote),
                        1 => TillError::Bank(remote.into_inner()),
                        2 => TillError::Other(remote.as_error().clone()),
                        _ => remote.replaced_by(TillError::Busy),
                    })
                }
            });
            let runs = register.runs_of_a_repeated_call().await;
            assert_eq!(runs, if has_charged { 1 } else { 2 }, "{way}");
            assert_eq!(vault.charges(), usize::from(has_charged), "{way}");
        }
    }
}

/// A task of the handler calls when the handler has returned.
#[tokio::test]
async fn a_task_that_calls_after_the_handler() {
    for is_made_before in [false, true] {
        let vault = Vault::default();
        let running = Running::start(vault.server()).await;
        let (bank, dead) = (once(&running.url()), once(DEAD));
        let go = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&go);
        let register = Register::new(move || {
            let (bank, dead, gate) = (bank.clone(), dead.clone(), Arc::clone(&gate));
            async move {
                if is_made_before {
                    let call = bank.charge();
                    tokio::spawn(async move {
                        let _permit = gate.acquire().await;
                        call.await
                    });
                } else {
                    rpc_runtime::spawn(async move {
                        let _permit = gate.acquire().await;
                        bank.charge().await
                    });
                }
                dead.charge().await?;
                Ok(())
            }
        });
        let runs = register.runs_of_a_repeated_call().await;
        go.add_permits(1);
        until(async || vault.charges() == runs).await;
        assert_eq!(vault.charges(), 1, "{is_made_before}");
    }
}

/// Ways in which an earlier call of the handler ends.
#[derive(Debug, Clone, Copy)]
enum Earlier {
    /// Dropped while it runs.
    Dropped,
    /// Its response is lost, and the handler ignores that.
    Lost,
    /// Runs at the same time, and is dropped.
    Joined,
    /// Runs in a task of its own.
    Spawned,
    /// Created in the handler, polled in a task of its own.
    Moved,
    /// In a blocking thread.
    Blocking,
    /// Made, and never polled.
    NotPolled,
    /// Not reached either.
    NotReached,
    /// Without side effects.
    Looked,
}

/// The effect that an earlier call of a handler may have had counts, whatever became of it.
#[tokio::test]
async fn each_end_of_an_earlier_call() {
    use Earlier::{Blocking, Dropped, Joined, Looked, Lost, Moved, NotPolled, NotReached, Spawned};
    for (earlier, kept) in [
        (Dropped, true),
        (Lost, true),
        (Joined, true),
        (Spawned, true),
        (Moved, true),
        (Blocking, true),
        (NotPolled, false),
        (NotReached, false),
        (Looked, false),
    ] {
        let (held, gate) = Vault::held();
        let open = Vault::default();
        let (held_running, open_running) = (
            Running::start(held.server()).await,
            Running::start(open.server()).await,
        );
        let (slow, fast, dead) = (
            once(&held_running.url()),
            once(&open_running.url()),
            once(DEAD),
        );
        let losing = once(&losing_server().await);
        let held_gate = Arc::clone(&gate);
        let register = Register::new(move || {
            let (slow, fast, dead) = (slow.clone(), fast.clone(), dead.clone());
            let (losing, gate) = (losing.clone(), Arc::clone(&held_gate));
            async move {
                match earlier {
                    Dropped => tokio::select! {
                        _ = slow.charge() => {}
                        _ = gate.begun.acquire() => {}
                    },
                    Lost => drop(losing.charge().await),
                    Joined => {
                        tokio::try_join!(
                            async { Ok::<_, TillError>(slow.charge().await?) },
                            async {
                                drop(gate.begun.acquire().await);
                                Ok(dead.charge().await?)
                            },
                        )?;
                    }
                    Spawned => drop(rpc_runtime::spawn(async move { fast.charge().await }).await),
                    Moved => drop(tokio::spawn(fast.charge()).await),
                    Blocking => {
                        let handle = tokio::runtime::Handle::current();
                        let work = move || handle.block_on(fast.charge());
                        drop(rpc_runtime::spawn_blocking(work).await);
                    }
                    NotPolled => drop(fast.charge()),
                    NotReached => drop(dead.charge().await),
                    Looked => drop(fast.look().await),
                }
                dead.charge().await?;
                Ok(())
            }
        });
        let runs = within(register.runs_of_a_repeated_call()).await;
        assert_eq!(runs, if kept { 1 } else { 2 }, "{earlier:?}");
        gate.go.add_permits(1);
    }
}

/// A call that a handler makes in the scope of another request is a call of the handler.
#[tokio::test]
async fn a_call_in_the_scope_of_another_request() {
    #[derive(Debug, Clone, Copy)]
    enum Way {
        Scoped,
        Derived,
        Nested,
        Task,
        NotReached,
    }
    for (way, kept) in [
        (Way::Scoped, true),
        (Way::Derived, true),
        (Way::Nested, true),
        (Way::Task, true),
        (Way::NotReached, false),
    ] {
        let vault = Vault::default();
        let running = Running::start(vault.server()).await;
        let (fast, dead) = (once(&running.url()), once(DEAD));
        let register = Register::new(move || {
            let (fast, dead) = (fast.clone(), dead.clone());
            async move {
                let other = || Context::for_request(RequestId::random());
                match way {
                    Way::Scoped => drop(other().scope(fast.charge()).await),
                    Way::Derived => {
                        let derived = other().with_baggage("tenant", "blue").unwrap();
                        drop(derived.scope(fast.charge()).await);
                    }
                    Way::Nested => {
                        let nested = async { other().scope(fast.charge()).await };
                        drop(other().scope(nested).await);
                    }
                    Way::Task => drop(tokio::spawn(other().scope(fast.charge())).await),
                    Way::NotReached => drop(other().scope(dead.charge()).await),
                }
                dead.charge().await?;
                Ok(())
            }
        });
        let runs = within(register.runs_of_a_repeated_call()).await;
        assert_eq!(runs, if kept { 1 } else { 2 }, "{way:?}");
    }
}
