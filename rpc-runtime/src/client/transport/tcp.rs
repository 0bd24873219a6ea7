//! Opens TCP connections.

use hyper_util::client::legacy::connect::HttpConnector;

use super::limits::CONNECT_TIMEOUT;

/// Returns a connector for TCP.
pub(super) fn tcp_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector
}
