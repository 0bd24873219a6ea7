//! Pricing: one credit per digit of `n`.

use rpc_runtime::{Remote, Result};

use crate::api::pricing::{Pricing, PricingError, PurchaseState, Receipt};
use crate::api::userstore::{Reservation, UserStoreClient, UserStoreError};

/// Implements [`Pricing`] with a user store.
#[derive(Debug)]
pub struct Prices {
    userstore: UserStoreClient,
}

impl Prices {
    /// Creates a pricing service for the users of this store.
    #[must_use]
    pub fn new(userstore: UserStoreClient) -> Self {
        Self { userstore }
    }
}

/// Returns the price of `fib(n)`: the number of decimal digits of `n`.
///
/// Uses an integer logarithm: a floating-point one is just below 3 for 1000, so that the price
/// would be wrong near powers of ten.
///
/// ```
/// use fibpro::service::pricing::price;
///
/// assert_eq!([0, 9, 10, 999, 1000].map(price), [1, 1, 2, 3, 4]);
/// ```
#[must_use]
pub fn price(n: u64) -> u64 {
    n.checked_ilog10().map_or(1, |power| u64::from(power) + 1)
}

impl Prices {
    /// Returns the credit of a user who has paid before. A number that is paid is delivered also
    /// if the credit cannot be read: then `credit`, that after the purchase, is returned.
    async fn current_credit(&self, username: &str, credit: u64) -> u64 {
        match self.userstore.get_user(username).await {
            Ok(user) => user.map_or(credit, |user| user.credit),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}").replace('\n', " |"),
                    "cannot read the credit for the repeat of a purchase; it is that of the purchase"
                );
                credit
            }
        }
    }
}

impl Pricing for Prices {
    async fn price(&self, n: u64) -> Result<u64> {
        Ok(price(n))
    }

    async fn pay(&self, username: &str, n: u64, key: &str) -> Result<Receipt, PricingError> {
        let price = price(n);
        let reserved = self.userstore.reserve(username, price, key).await;
        let reservation = reserved.map_err(|error| map_store_error(error, username, n, price))?;
        let mut receipt = Receipt::from(reservation);
        if receipt.state == PurchaseState::Settled {
            receipt.credit = self.current_credit(username, receipt.credit).await;
        }
        Ok(receipt)
    }

    async fn settle(&self, key: &str) -> Result<Receipt, PricingError> {
        Ok(self.userstore.settle(key).await?.into())
    }

    async fn refund(&self, key: &str) -> Result<Receipt, PricingError> {
        Ok(self.userstore.refund(key).await?.into())
    }
}

/// Adds number and price to the user store's error for insufficient credit.
fn map_store_error(
    error: Remote<UserStoreError>,
    username: &str,
    n: u64,
    price: u64,
) -> PricingError {
    let UserStoreError::InsufficientCredit { credit, .. } = *error else {
        return PricingError::from(error);
    };
    error.replaced_by(PricingError::InsufficientCredit {
        n,
        price,
        username: username.to_owned(),
        credit,
    })
}

impl From<Reservation> for Receipt {
    fn from(reservation: Reservation) -> Self {
        Self {
            price: reservation.amount,
            credit: reservation.credit,
            state: reservation.state,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c03_both_sides_of_every_power_of_ten() {
        for power in 1..20_u32 {
            let n = 10_u64.pow(power);
            let (below, at) = (u64::from(power), u64::from(power) + 1);
            assert_eq!((price(n - 1), price(n)), (below, at), "10^{power}");
        }
        assert_eq!(price(u64::MAX), 20);
    }

    #[test]
    fn c06_zero_has_a_price() {
        assert_eq!(price(0), 1);
    }

    proptest! {
        #[test]
        fn c03_a_price_is_the_length_of_the_number(n in any::<u64>(), shift in 0..64_u32) {
            // Shifted, so that short numbers are as frequent as long ones.
            let n = n >> shift;
            prop_assert_eq!(price(n), n.to_string().len() as u64);
        }
    }
}
