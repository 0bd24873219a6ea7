//! `fibpro serve`: one service as a process, for `fibpro up`, which has no other program than its own.

use fibpro::serve::{
    End, compute_worker, controller, gatekeeper, logsink, pricing, run_until, userstore,
};

use super::Failure;

/// Run one service, as its own program does
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Stop at the end of standard input, as for SIGTERM
    #[arg(long, hide = true)]
    end_with_stdin: bool,

    #[command(subcommand)]
    service: Service,
}

#[derive(Debug, clap::Subcommand)]
#[command(rename_all = "snake_case")]
enum Service {
    ComputeWorker(compute_worker::Options),
    Controller(controller::Options),
    Gatekeeper(gatekeeper::Options),
    Logsink(logsink::Options),
    Pricing(pricing::Options),
    Userstore(userstore::Options),
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let end = if options.end_with_stdin {
        End::of_stdin()?
    } else {
        End::never()
    };
    let outcome = match options.service {
        Service::ComputeWorker(options) => run_until(options, end).await,
        Service::Controller(options) => run_until(options, end).await,
        Service::Gatekeeper(options) => run_until(options, end).await,
        Service::Logsink(options) => run_until(options, end).await,
        Service::Pricing(options) => run_until(options, end).await,
        Service::Userstore(options) => run_until(options, end).await,
    };
    outcome.map_err(|error| Failure::Service(error.message().to_owned()))
}
