//! Log of the peers and web pages that an internal listener refuses, throttled because they choose
//! how often.

use super::trust::Peer;
use crate::error::{Code, Error};
use crate::observe::LogThrottle;
use crate::text::EscapeControl;

/// The maximum length of a reason in the log, in bytes.
const REASON: usize = 512;

/// Counts the requests that internal listeners refuse because of their origin.
#[derive(Debug, Default)]
pub(crate) struct PeerRefusals {
    web_pages: LogThrottle,
    foreign_hosts: LogThrottle,
}

impl PeerRefusals {
    /// Counts a refused request if its origin is the reason, and logs some of them.
    pub(crate) fn record(&self, peer: &Peer, request_id: &str, error: &Error) {
        if error.code() != Code::PermissionDenied {
            return;
        }
        // Peers of this host are refused for a web page only.
        let (counted, origin) = if peer.is_trusted() {
            (&self.web_pages, "web page")
        } else {
            (&self.foreign_hosts, "peer of another host")
        };
        if let Some(count) = counted.record() {
            tracing::warn!(
                target: "rpc",
                request_id,
                peer = peer.address().map(tracing::field::display),
                reason = EscapeControl(error.message()).truncated(REASON),
                count,
                "{origin} refused; `count` so far"
            );
        }
    }
}
