//! The number of replicas of each service.

use std::sync::Arc;

/// Names of the services that can have replicas: they hold no data of their own.
const REPLICATED: [&str; 2] = ["pricing", "compute_worker"];

/// Maximum number of replicas of a service.
const MAX: u8 = 16;

/// The number of replicas of one service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replicas {
    service: &'static str,
    count: u8,
}

impl Replicas {
    /// Parses a value of `--replicas`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            let services = REPLICATED.join(" or ");
            format!("expected SERVICE=N, where SERVICE is {services} and N is from 1 to {MAX}")
        };
        let (name, count) = text.split_once('=').ok_or_else(expected)?;
        let service = REPLICATED.into_iter().find(|service| *service == name);
        let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok();
        let count = count.filter(|count| is_number && (1..=MAX).contains(count));
        match (service, count) {
            (Some(service), Some(count)) => Ok(Self { service, count }),
            _ => Err(expected()),
        }
    }

    /// Checks that no service is given twice.
    pub(super) fn check(given: &[Self]) -> Result<(), String> {
        for (index, one) in given.iter().enumerate() {
            if given[..index]
                .iter()
                .any(|other| other.service == one.service)
            {
                let service = one.service;
                return Err(format!(
                    "`--replicas` has {service} twice: give each service once"
                ));
            }
        }
        Ok(())
    }

    /// Returns whether any service has more than one.
    pub(super) fn are_several(given: &[Self]) -> bool {
        given.iter().any(|one| one.count > 1)
    }

    /// Returns the names of the replicas of a service: `pricing`, `pricing-2` and so on.
    pub(super) fn names(given: &[Self], service: &str) -> impl Iterator<Item = Arc<str>> {
        let count = given.iter().find(|one| one.service == service);
        let count = count.map_or(1, |one| one.count);
        (1..=count).map(move |number| match number {
            1 => service.into(),
            _ => format!("{service}-{number}").into(),
        })
    }
}
