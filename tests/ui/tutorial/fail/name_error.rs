//! B05: `NameError: global name 'log' is not defined`, and the second attempt, `'logarithm'`. In
//! the original, the first request that reached the line found them, in production.

use rpc_runtime::prelude::*;

#[rpc_service]
trait Pricing {
    async fn price(&self, n: u64) -> Result<u64>;
}

struct Prices;

impl Pricing for Prices {
    async fn price(&self, n: u64) -> Result<u64> {
        Ok(log(n) + 1)
    }
}

struct SecondTry;

impl Pricing for SecondTry {
    async fn price(&self, n: u64) -> Result<u64> {
        Ok(logarithm(n) + 1)
    }
}

fn main() {}
