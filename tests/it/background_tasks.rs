//! Background tasks of a server, tasks of its handlers, and its work at the stop.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rpc_runtime::prelude::*;
use rpc_runtime::{Limits, Shutdown};
use tokio::sync::{Notify, mpsc};

#[rpc_service(package = "background.v1")]
trait Jobs {
    /// Spawns a task, and returns before the task is done.
    async fn spawn(&self, blocking: bool) -> Result<()>;
    /// Returns whether the server stops while the call waits.
    async fn wait(&self) -> Result<bool>;
}

#[derive(Clone)]
struct Worker {
    events: mpsc::UnboundedSender<&'static str>,
    release: Arc<Notify>,
}

impl Jobs for Worker {
    async fn spawn(&self, blocking: bool) -> Result<()> {
        let worker = self.clone();
        let shutdown = Context::current().shutdown();
        if blocking {
            rpc_runtime::spawn_blocking(move || {
                let runtime = tokio::runtime::Handle::current();
                runtime.block_on(shutdown.requested());
                let _ = worker.events.send("blocking task done");
            });
        } else {
            rpc_runtime::spawn(async move {
                shutdown.requested().await;
                let _ = worker.events.send("told");
                worker.release.notified().await;
                let _ = worker.events.send("task done");
            });
        }
        Ok(())
    }

    async fn wait(&self) -> Result<bool> {
        let _ = self.events.send("waiting");
        let shutdown = Context::current().shutdown();
        shutdown.requested().await;
        Ok(shutdown.is_requested())
    }
}

fn worker() -> (Worker, mpsc::UnboundedReceiver<&'static str>) {
    let (events, received) = mpsc::unbounded_channel();
    let release = Arc::default();
    (Worker { events, release }, received)
}

fn server(worker: &Worker) -> Server {
    Server::new("jobs").add(JobsServer::new(worker.clone()))
}

fn limits(drain_timeout: Duration) -> Limits {
    let mut limits = Limits::default();
    limits.drain_timeout = drain_timeout;
    limits
}

#[tokio::test]
async fn tasks_and_shutdown_work_end_in_order() {
    let (worker, mut events) = worker();
    let log = |text| {
        let events = worker.events.clone();
        move || {
            let events = events.clone();
            async move {
                let _ = events.send(text);
            }
        }
    };
    let (sender, name) = (worker.events.clone(), Arc::new(Mutex::new(String::new())));
    let seen = Arc::clone(&name);
    let server = server(&worker)
        .task("refresh", move |shutdown: Shutdown| {
            let (events, seen) = (sender.clone(), Arc::clone(&seen));
            async move {
                let server = Context::current().server().map(ToString::to_string);
                *seen.lock().unwrap() = server.unwrap_or_default();
                let _ = events.send("started");
                shutdown.requested().await;
                let _ = events.send("stopped");
            }
        })
        .on_shutdown("first", log("closed first"))
        .on_shutdown("second", log("closed second"));
    let running = rpc_tests::Running::start(server).await;
    assert_eq!(events.recv().await, Some("started"));
    assert!(name.lock().unwrap().starts_with("jobs@prod/"));
    let jobs = JobsClient::connect(&running.url()).unwrap();
    let waiting = tokio::spawn(async move { jobs.wait().await });
    assert_eq!(events.recv().await, Some("waiting"));
    running.stop().await;
    assert!(waiting.await.unwrap().unwrap());
    let rest: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert_eq!(rest, ["stopped", "closed second", "closed first"]);
}

#[tokio::test]
async fn the_stop_waits_for_tasks_of_handlers() {
    let (worker, mut events) = worker();
    let running = rpc_tests::Running::start(server(&worker)).await;
    let jobs = JobsClient::connect(&running.url()).unwrap();
    jobs.spawn(false).await.unwrap();
    jobs.spawn(true).await.unwrap();
    let stopped = tokio::spawn(running.stop());
    let mut told = vec![events.recv().await.unwrap(), events.recv().await.unwrap()];
    told.sort_unstable();
    assert_eq!(told, ["blocking task done", "told"]);
    assert!(!stopped.is_finished());
    worker.release.notify_one();
    stopped.await.unwrap();
    assert_eq!(events.try_recv(), Ok("task done"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_started_again() {
    let (worker, mut events) = worker();
    let (runs, sender) = (Arc::new(AtomicU32::new(0)), worker.events.clone());
    let counted = Arc::clone(&runs);
    let server = server(&worker).task("flaky", move |_| {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        let sender = sender.clone();
        assert!(run != 2, "the closure itself panics");
        async move {
            match run {
                0 => panic!("a task panics"),
                1 => Err("no connection".to_owned()),
                _ => {
                    let _ = sender.send("works");
                    Ok(())
                }
            }
        }
    });
    let running = rpc_tests::Running::start(server).await;
    assert_eq!(events.recv().await, Some("works"));
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    // A task that is done is not started again.
    tokio::time::advance(Duration::from_secs(120)).await;
    running.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_restart() {
    let (worker, _events) = worker();
    let (runs, failed) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let (counted, told) = (Arc::clone(&runs), Arc::clone(&failed));
    let server = server(&worker).task("broken", move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let told = Arc::clone(&told);
        async move {
            told.notify_one();
            Err::<(), _>("broken")
        }
    });
    let running = rpc_tests::Running::start(server).await;
    failed.notified().await;
    running.stop().await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_end_is_dropped() {
    /// Tells when it is dropped.
    struct Told(mpsc::UnboundedSender<&'static str>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    let (worker, mut events) = worker();
    let (first, second) = (worker.events.clone(), worker.events.clone());
    let server = server(&worker)
        .limits(limits(Duration::from_secs(5)))
        .task("endless", move |_| {
            let told = Told(first.clone());
            async move {
                std::future::pending::<()>().await;
                drop(told);
            }
        })
        // Has its time, though the task has used up the drain.
        .on_shutdown("quick", move || async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = second.send("closed");
        })
        .on_shutdown("slow", std::future::pending::<()>)
        .on_shutdown("panics", async || -> () { panic!("shutdown work panics") })
        .on_shutdown("fails", async || Err::<(), _>("no disk"));
    let running = rpc_tests::Running::start(server).await;
    running.stop().await;
    assert_eq!(events.try_recv(), Ok("dropped"));
    // The work that hangs has used up the time of what follows it.
    assert!(events.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_blocks_its_thread_stops_no_stop() {
    let (worker, mut events) = worker();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (started, closed) = (worker.events.clone(), worker.events.clone());
    let server = server(&worker)
        .limits(limits(Duration::from_millis(1)))
        .task("blocks", move |_| {
            let (events, blocked) = (started.clone(), Arc::clone(&blocked));
            async move {
                let _ = events.send("started");
                let _ = blocked.lock().unwrap().recv();
            }
        })
        .on_shutdown("last", move || async move {
            let _ = closed.send("closed");
        });
    let running = rpc_tests::Running::start(server).await;
    assert_eq!(events.recv().await, Some("started"));
    running.stop().await;
    assert_eq!(events.try_recv(), Ok("closed"));
    drop(release);
}

#[tokio::test]
async fn a_server_without_listeners_starts_no_task() {
    let (worker, mut events) = worker();
    let sender = worker.events.clone();
    let server = server(&worker).task("refresh", move |_| {
        let events = sender.clone();
        async move {
            let _ = events.send("started");
        }
    });
    let client = server.into_local_client().unwrap();
    JobsClient::with_client(client).spawn(false).await.unwrap();
    assert!(events.try_recv().is_err());
}
