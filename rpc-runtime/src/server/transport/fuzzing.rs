//! A listener with one connection in memory, for fuzz targets.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use tokio::io::DuplexStream;
use tokio::sync::{Mutex, watch};

use super::accept::accept;
use super::accept::proxy_header::parse;
use super::listen::accept::{Accept, ConnectionPeer};
use super::listen::settings::ListenerSettings;
use crate::server::call::proxies::TrustedProxies;
use crate::server::call::trust::Trust;
use crate::server::inner::ServerInner;
use crate::server::process::lifecycle::Phase;

/// Serves one connection of an internal listener until `done`.
pub(crate) async fn serve_in_memory(
    inner: Arc<ServerInner>,
    io: DuplexStream,
    done: impl Future<Output = ()>,
) {
    let (phase, phases) = watch::channel(Phase::Serving);
    let listener = OneConnection(Mutex::new(Some(io)));
    let settings = Arc::new(ListenerSettings::new(Trust::Internal, None, false, None));
    let stop = async {
        done.await;
        phase.send_replace(Phase::Closing);
    };
    tokio::join!(accept(listener, inner, settings, phases), stop);
}

/// Parses a header of the PROXY protocol.
pub(crate) fn parse_proxy_header(
    bytes: &[u8],
) -> Result<Option<(Option<SocketAddr>, usize)>, &'static str> {
    let header = parse(bytes)?;
    Ok(header.map(|header| (header.client, header.length)))
}

/// Returns the address of a client behind the trusted proxies in 10.0.0.0/8.
pub(crate) fn client_behind_proxies(peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    // The network is valid.
    let proxies = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap_or_default();
    proxies.client(peer, headers)
}

struct OneConnection(Mutex<Option<DuplexStream>>);

impl Accept for OneConnection {
    type Io = DuplexStream;

    async fn accept(&mut self) -> std::io::Result<(DuplexStream, ConnectionPeer)> {
        match self.0.lock().await.take() {
            Some(io) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
                Ok((io, ConnectionPeer::tcp(address, address)))
            }
            None => std::future::pending().await,
        }
    }
}
