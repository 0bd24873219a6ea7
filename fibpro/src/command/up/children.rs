//! All services, each as a process.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::plan::{ServiceUrls, SystemPlan};
use super::process_spec::ProcessSpec;
use super::sockets::ServiceSockets;
use super::supervisor::{Supervisor, all_stopped};
use crate::command::CommandError;

/// The child processes in the order of their start.
pub(super) struct ChildProcesses {
    program: PathBuf,
    running: Vec<Supervisor>,
}

impl ChildProcesses {
    pub(super) fn new() -> Result<Self, CommandError> {
        let program = env::current_exe().map_err(|error| {
            CommandError::Service(format!("cannot find the path of this program: {error}"))
        })?;
        Ok(Self {
            program,
            running: Vec::new(),
        })
    }

    /// Starts a service, and returns when it is ready. After the order to stop, it stops the
    /// process in order.
    pub(super) async fn start(
        &mut self,
        plan: &SystemPlan,
        urls: &ServiceUrls,
        sockets: ServiceSockets,
        order: &CancellationToken,
    ) -> Result<(), String> {
        let mut spec = ProcessSpec::new(sockets, self.program.clone(), plan, urls);
        let mut child = spec.spawn().await?;
        let ready = tokio::select! {
            ready = child.ready(&spec) => Some(ready),
            () = order.cancelled() => None,
        };
        match ready {
            Some(ready) => ready?,
            None => return child.end(&spec.name, plan.stop_timeout).await,
        }
        self.running
            .push(Supervisor::start(spec, child, plan.stop_timeout));
        Ok(())
    }

    pub(super) fn processes(&self) -> Vec<(Arc<str>, u32)> {
        let running = self.running.iter();
        running
            .map(|supervisor| (Arc::clone(&supervisor.name), supervisor.id))
            .collect()
    }

    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let mut failed = Vec::new();
        while let Some(supervisor) = self.running.last_mut() {
            failed.extend(supervisor.end().await.err());
            // Removed only now, so that a second signal meanwhile kills this child too.
            self.running.pop();
        }
        all_stopped(&failed)
    }

    pub(super) async fn kill(&mut self) {
        self.running.iter().for_each(Supervisor::kill);
        for mut supervisor in self.running.drain(..) {
            // It was killed, so its exit status has no information.
            let _ = supervisor.ended().await;
        }
    }
}
