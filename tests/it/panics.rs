//! A panic causes one error response, wherever it happens, and does not affect the next call.

use std::sync::{Arc, Mutex, PoisonError};

use rpc_runtime::prelude::*;
use rpc_runtime::status::StatusClient;
use rpc_tests::Running;

const TEXT: &str = "the canary of a panic";

#[rpc_service(package = "panics.v1")]
trait Shelf {
    /// Panics while it holds a standard mutex, which becomes poisoned.
    async fn poison(&self) -> Result<()>;
    /// Panics while it holds a lock across an await.
    async fn break_held(&self) -> Result<()>;
    /// Waits for a task that panics.
    async fn ask_a_task(&self) -> Result<()>;
    /// Waits for a thread that panics.
    async fn ask_a_thread(&self) -> Result<()>;
    /// Spawns a task that panics, without waiting for it.
    async fn leave_a_task(&self) -> Result<()>;
    /// Acquires both locks.
    async fn read(&self) -> Result<u32>;
}

#[derive(Default)]
struct LockedShelf {
    quick: Mutex<u32>,
    held: Arc<tokio::sync::Mutex<u32>>,
}

impl Shelf for LockedShelf {
    async fn poison(&self) -> Result<()> {
        let mut quick = self.quick.lock().unwrap_or_else(PoisonError::into_inner);
        *quick += 1;
        panic!("{TEXT}");
    }

    async fn break_held(&self) -> Result<()> {
        let mut held = self.held.lock().await;
        tokio::task::yield_now().await;
        *held += 1;
        panic!("{TEXT}");
    }

    async fn ask_a_task(&self) -> Result<()> {
        let task = rpc_runtime::spawn(async { panic!("{TEXT}") });
        task.await
            .map_err(|error| Error::new(Code::Internal, "the task is gone").with_source(error))
    }

    async fn ask_a_thread(&self) -> Result<()> {
        let thread = rpc_runtime::spawn_blocking(|| panic!("{TEXT}"));
        // Unwrapping the poisoned lock panics as well.
        thread.await.unwrap();
        Ok(())
    }

    async fn leave_a_task(&self) -> Result<()> {
        drop(rpc_runtime::spawn(async { panic!("{TEXT}") }));
        Ok(())
    }

    async fn read(&self) -> Result<u32> {
        let quick = *self.quick.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(quick + *self.held.lock().await)
    }
}

#[tokio::test]
async fn a_panic_under_a_lock_or_in_a_task_fails_one_call() {
    let running =
        Running::start(Server::new("shelf").add(ShelfServer::new(LockedShelf::default()))).await;
    let client = ShelfClient::connect(&running.url()).unwrap();
    for round in 1..=3 {
        for error in [
            client.poison().await.unwrap_err(),
            client.break_held().await.unwrap_err(),
            client.ask_a_task().await.unwrap_err(),
            client.ask_a_thread().await.unwrap_err(),
        ] {
            assert_eq!(error.code(), Code::Internal);
            assert!(!format!("{error:#}").contains(TEXT), "{error:#}");
            assert_ne!(error.request_id(), "-");
        }
        client.leave_a_task().await.unwrap();
        assert_eq!(client.read().await.unwrap(), 2 * round);
    }
    let status = StatusClient::connect(&running.url())
        .unwrap()
        .get()
        .await
        .unwrap();
    let row = status
        .methods
        .iter()
        .find(|row| row.name == "panics.v1.Shelf/Poison")
        .unwrap();
    assert_eq!((row.errors["internal"], row.in_flight), (3, 0));
}
