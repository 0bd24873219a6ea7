//! `fibpro serve`: runs one service as a process. `fibpro up` uses it to start services by its own
//! program.

use fibpro::serve::{
    StopSignal, compute_worker, controller, gatekeeper, logsink, pricing, run_until, userstore,
};

use super::CommandError;

/// Run one service, as its own program does
#[derive(Debug, clap::Args)]
pub(crate) struct ServeOptions {
    /// Stop at the end of standard input, as after SIGTERM
    #[arg(long, hide = true)]
    end_with_stdin: bool,

    #[command(subcommand)]
    service: ServiceCommand,
}

#[derive(Debug, clap::Subcommand)]
#[command(rename_all = "snake_case")]
enum ServiceCommand {
    ComputeWorker(compute_worker::ComputeWorkerOptions),
    Controller(controller::ControllerOptions),
    Gatekeeper(gatekeeper::GatekeeperOptions),
    Logsink(logsink::LogSinkOptions),
    Pricing(pricing::PricingOptions),
    Userstore(userstore::UserStoreOptions),
}

pub(crate) async fn run(options: ServeOptions) -> Result<(), CommandError> {
    let end = if options.end_with_stdin {
        StopSignal::stdin_closed()?
    } else {
        StopSignal::never()
    };
    let outcome = match options.service {
        ServiceCommand::ComputeWorker(options) => run_until(options, end).await,
        ServiceCommand::Controller(options) => run_until(options, end).await,
        ServiceCommand::Gatekeeper(options) => run_until(options, end).await,
        ServiceCommand::Logsink(options) => run_until(options, end).await,
        ServiceCommand::Pricing(options) => run_until(options, end).await,
        ServiceCommand::Userstore(options) => run_until(options, end).await,
    };
    outcome.map_err(|error| CommandError::Service(error.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Subcommand as _;
    use fibpro::endpoints::SERVICES;

    use super::*;

    #[test]
    fn each_service_has_a_subcommand() {
        let command = ServiceCommand::augment_subcommands(clap::Command::new("serve"));
        let commands: BTreeSet<_> = command
            .get_subcommands()
            .map(clap::Command::get_name)
            .collect();
        let services: BTreeSet<_> = SERVICES.iter().map(|service| service.name).collect();
        assert_eq!(commands, services);
    }
}
