//! A test needs no socket, no port and no mock: `FooClient::local(fake)` is the client that production has.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use rpc_runtime::prelude::*;

#[rpc_service(package = "examples.v1")]
trait Pricing {
    /// Takes the price of a number and answers what is left.
    async fn pay(&self, user: &str, n: u64) -> Result<u64>;
}

/// What is tested. It holds a client, and cannot tell whether the service is in another city or in the test.
struct Shop {
    pricing: PricingClient,
}

impl Shop {
    async fn buy(&self, user: &str, n: u64) -> Result<String> {
        match self.pricing.pay(user, n).await {
            Ok(left) => Ok(format!("sold, {left} left")),
            Err(error) if error.code() == Code::FailedPrecondition => {
                Ok("come back with money".to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A fake is one more implementation of the trait. The compiler keeps it in step with the contract.
struct Fake {
    credit: u64,
}

impl Pricing for Fake {
    async fn pay(&self, _user: &str, n: u64) -> Result<u64> {
        match self.credit.checked_sub(n) {
            Some(left) => Ok(left),
            None => fail!(Code::FailedPrecondition, "{n} is more than {}", self.credit),
        }
    }
}

/// Arguments and answers are encoded and decoded, deadlines and layers hold: all but the socket is as in production.
fn shop_with(credit: u64) -> Shop {
    Shop {
        pricing: PricingClient::local(Fake { credit }),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("with credit 4:    {}", shop_with(4).buy("ada", 1).await?);
    println!("without credit:   {}", shop_with(0).buy("ada", 1).await?);
    println!("the tests of it:  cargo test -p rpc-examples --bin in_process_test");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_credit_buys() {
        assert_eq!(shop_with(4).buy("ada", 1).await.unwrap(), "sold, 3 left");
    }

    #[tokio::test]
    async fn who_has_none_is_sent_away() {
        assert_eq!(
            shop_with(0).buy("ada", 1).await.unwrap(),
            "come back with money"
        );
    }
}
