//! An error is an enum on both sides of a call, and contains the chain of services that it passed.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::prelude::*;

/// An error of a payment. The caller receives the same type.
#[derive(Debug, thiserror::Error, RpcError)]
enum PricingError {
    /// Programs use the code and the fields, people the text.
    #[error("insufficient credit({credit})")]
    #[rpc(code = "failed_precondition")]
    InsufficientCredit { credit: u64 },
    /// Any other error: a network failure, a deadline, a variant that only a newer server has.
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
        // `?` propagates the error of another service, and its line becomes part of the chain.
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

    // Match on the remote enum as for a local call.
    if let Err(error) = pricing.pay("ada", 3).await {
        match &*error {
            PricingError::InsufficientCredit { credit } => println!("ada has {credit} left\n"),
            PricingError::Other(other) => println!("another error: {other}\n"),
        }
    }

    // The error is two services away. The controller does not declare it, so its caller receives
    // `internal`. The chain keeps the original, with file and line in each service.
    if let Err(error) = controller.generate("ada", 3).await {
        println!("{error:#}");
    }
    Ok(())
}

/// Serves on a free port as long as the program runs, and returns the URL.
async fn serve(name: &str, service: impl rpc_runtime::Service) -> Result<String> {
    let server = Server::new(name).listen("127.0.0.1:0").add(service);
    let server = server.bind().await?;
    let url = format!("http://{}", server.addresses()[0]);
    tokio::spawn(server.serve(std::future::pending()));
    Ok(url)
}
