//! What the one who starts a server may say of its logs.

use std::path::PathBuf;

use super::Shipping;
use crate::client::Client;
use crate::error::Result;

/// The part of [`server::Options`](crate::server::Options) that is about logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShippingOptions {
    pub(crate) sink: Option<String>,
    pub(crate) spool: Option<PathBuf>,
    pub(crate) filter: Option<String>,
}

impl ShippingOptions {
    /// What is to be shipped how: what the operator says, and where nothing is said, what the program does.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for what is no URL or no filter.
    pub(crate) fn apply(&self, program: Option<Shipping>) -> Result<Option<Shipping>> {
        let shipping = match (&self.sink, program) {
            (Some(url), Some(program)) => Some(program.towards(Client::new(url)?)),
            (Some(url), None) => Some(Shipping::to(Client::new(url)?)),
            (None, program) => program,
        };
        let Some(mut shipping) = shipping else {
            return Ok(None);
        };
        if let Some(folder) = &self.spool {
            shipping = shipping.spool(folder);
        }
        if let Some(filter) = &self.filter {
            shipping = shipping.filter(filter)?;
        }
        Ok(Some(shipping))
    }
}
