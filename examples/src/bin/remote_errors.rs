//! An error is an enum on both ends of a call, and knows which way it came.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rpc_runtime::prelude::*;

/// What can go wrong with a payment. The caller gets this very type back.
#[derive(Debug, thiserror::Error, RpcError)]
enum PricingError {
    /// For programs a code and the fields, for people the text.
    #[error("insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit { credit: u64 },
    /// All the rest: a dead network, a deadline, a variant that only a newer server knows.
    #[error("{0}")]
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "examples.v1")]
trait Pricing {
    async fn pay(&self, user: &str, n: u64) -> Result<u64, PricingError>;
}

#[rpc_service(package = "examples.v1")]
trait Controller {
    async fn generate(&self, user: &str, n: u64) -> Result<String>;
}

struct Prices;

impl Pricing for Prices {
    async fn pay(&self, _user: &str, _n: u64) -> Result<u64, PricingError> {
        Err(PricingError::InsufficientCredit { credit: 0 })
    }
}

struct Control(PricingClient);

impl Controller for Control {
    async fn generate(&self, user: &str, n: u64) -> Result<String> {
        // A `?` passes the error of another service on, and its line becomes part of the chain.
        self.0.pay(user, n).await?;
        Ok("done".to_owned())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let pricing = PricingClient::connect(&serve("pricing", PricingServer::new(Prices)).await?)?;
    let control = Control(pricing.clone());
    let controller =
        ControllerClient::connect(&serve("controller", ControllerServer::new(control)).await?)?;

    // Match on the remote enum as if the call had been local.
    if let Err(error) = pricing.pay("ada", 3).await {
        match &*error {
            PricingError::InsufficientCredit { credit } => println!("ada has {credit} left\n"),
            PricingError::Other(other) => println!("not a matter of credit: {other}\n"),
        }
    }

    // Two services away. We asked the controller for a number and not for a payment, so to us it is `internal`. The
    // chain keeps the original, with file and line in each service.
    if let Err(error) = controller.generate("ada", 3).await {
        println!("{error:#}");
    }
    Ok(())
}

/// Serves on a free port for as long as the program runs, and says where.
async fn serve(name: &str, service: impl rpc_runtime::server::Service) -> Result<String> {
    let server = Server::new(name).listen("127.0.0.1:0").add(service);
    let server = server.bind().await?;
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.serve(std::future::pending()));
    Ok(url)
}
