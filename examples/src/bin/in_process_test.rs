//! A test needs no socket, no port and no mock: `FooClient::local(fake)` has the same type as the
//! client in production.

#![allow(clippy::print_stdout, reason = "an example prints its results")]

use rpc_runtime::prelude::*;

#[rpc_service(package = "examples.v1")]
trait Pricing {
    /// Takes the price of a number and returns the remaining credit.
    async fn pay(&self, user: &str, n: u64) -> Result<u64>;
}

/// The code under test. It holds a client, which may be remote or in process.
struct Shop {
    pricing: PricingClient,
}

impl Shop {
    async fn buy(&self, user: &str, n: u64) -> Result<String> {
        match self.pricing.pay(user, n).await {
            Ok(left) => Ok(format!("sold, {left} left")),
            Err(error) if error.code() == Code::FailedPrecondition => {
                Ok("not enough credit".to_owned())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A fake is another implementation of the trait, so the compiler keeps it consistent with the
/// contract.
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

/// Arguments and results are encoded and decoded, deadlines and layers apply: only the socket is
/// missing.
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
            "not enough credit"
        );
    }
}
