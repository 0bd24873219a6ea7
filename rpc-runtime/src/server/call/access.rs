//! The callers that plain HTTP routes serve.

use super::trust::CallerKind;
use crate::error::{Code, Error};
use crate::identity::unauthenticated;
use crate::protocol::connect::CallRejection;

/// The callers that plain HTTP routes serve, see [`Server::http_for`](crate::Server::http_for).
///
/// | | edge listener | internal listener without keys | internal listener with keys |
/// | --- | --- | --- | --- |
/// | `Signed` | every caller | peers on its own host | signed requests |
/// | `Internal` | none | peers on its own host | signed requests; peers on its own host |
/// | `Edge` | every caller | none | none |
/// | `Public` | every caller | every caller | every caller |
///
/// The routes see the `x-rpc-*` headers, the trace and the baggage of trusted callers only: of
/// signed requests, and without keys of peers on its own host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpAccess {
    /// Signed requests at an internal listener with keys, and every caller at an edge listener.
    #[default]
    Signed,
    /// Signed requests and peers on the same host, at internal listeners only: for example metrics,
    /// which a collector on the same host reads without a signature.
    Internal,
    /// Every caller, at edge listeners only.
    Edge,
    /// Every caller of every listener.
    Public,
}

impl HttpAccess {
    /// Checks that routes with this access serve a caller.
    ///
    /// # Errors
    ///
    /// `unauthenticated` or `permission_denied` at an internal listener; 404 for a route that is
    /// not there at this kind of listener.
    pub(crate) fn check(self, caller: CallerKind, path: &str) -> Result<(), CallRejection> {
        match (self, caller) {
            (Self::Public, _)
            | (Self::Edge, CallerKind::Edge)
            | (Self::Signed, CallerKind::Edge | CallerKind::Trusted)
            | (Self::Internal, CallerKind::Trusted | CallerKind::Unsigned { is_local: true }) => {
                Ok(())
            }
            (_, CallerKind::Unsigned { .. }) => Err(unauthenticated(
                "this internal listener serves this route to signed requests only: sign the request, or give the \
                 route to more callers (`Server::http_for`)",
            )
            .into()),
            (_, CallerKind::Remote) => Err(Error::without_location(
                Code::PermissionDenied,
                "this internal listener serves this route to peers on its own host only: call it from that host, or \
                 give the route to more callers (`Server::http_for`)",
            )
            .into()),
            (Self::Internal, CallerKind::Edge) | (Self::Edge, CallerKind::Trusted) => {
                Err(CallRejection::path(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_that_of_the_code() {
        let local = CallerKind::Unsigned { is_local: true };
        let foreign = CallerKind::Unsigned { is_local: false };
        for (access, served) in [
            (
                HttpAccess::Signed,
                &[CallerKind::Edge, CallerKind::Trusted][..],
            ),
            (HttpAccess::Internal, &[CallerKind::Trusted, local]),
            (HttpAccess::Edge, &[CallerKind::Edge]),
            (
                HttpAccess::Public,
                &[
                    CallerKind::Edge,
                    CallerKind::Trusted,
                    local,
                    foreign,
                    CallerKind::Remote,
                ],
            ),
        ] {
            for caller in [
                CallerKind::Edge,
                CallerKind::Trusted,
                local,
                foreign,
                CallerKind::Remote,
            ] {
                let is_served = access.check(caller, "/").is_ok();
                assert_eq!(is_served, served.contains(&caller), "{access:?} {caller:?}");
            }
        }
    }
}
