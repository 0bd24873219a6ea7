//! All services as processes of their own.

use std::env;
use std::path::PathBuf;

use super::keeper::Keeper;
use super::launch::Launch;
use super::plan::{Plan, Urls};
use crate::command::Failure;

/// The processes, in the order in which they were started.
pub(super) struct Children {
    program: PathBuf,
    running: Vec<Keeper>,
}

impl Children {
    pub(super) fn new() -> Result<Self, Failure> {
        let program = env::current_exe()
            .map_err(|error| Failure::Service(format!("where is this program? {error}")))?;
        Ok(Self {
            program,
            running: Vec::new(),
        })
    }

    /// Starts a service, and answers where it listens once it is ready.
    pub(super) async fn start(
        &mut self,
        name: &'static str,
        plan: &Plan,
        urls: &Urls,
    ) -> Result<Vec<String>, String> {
        let mut launch = Launch::new(name, self.program.clone(), plan, urls);
        let (child, found) = launch.start().await?;
        launch.keep(&found);
        self.running.push(Keeper::start(launch, child));
        Ok(found)
    }

    pub(super) fn processes(&self) -> Vec<(&'static str, u32)> {
        let running = self.running.iter();
        running.map(|keeper| (keeper.name, keeper.id)).collect()
    }

    pub(super) async fn stop(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        while let Some(keeper) = self.running.last_mut() {
            outcome = outcome.and(keeper.end().await);
            // Only now: whoever is in a hurry meanwhile finds it here.
            self.running.pop();
        }
        outcome
    }

    pub(super) async fn kill(&mut self) {
        self.running.iter().for_each(Keeper::kill);
        for mut keeper in self.running.drain(..) {
            // It was killed; how it ended says nothing.
            let _ = keeper.ended().await;
        }
    }
}
