//! A listener with one connection in memory, for fuzz targets.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::sync::{Mutex, watch};

use super::accept::{Listen, accept};
use crate::server::call::trust::{PeerOrigin, Trust};
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
    let stop = async {
        done.await;
        phase.send_replace(Phase::Closing);
    };
    tokio::join!(accept(listener, inner, Trust::Internal, phases), stop);
}

struct OneConnection(Mutex<Option<DuplexStream>>);

impl Listen for OneConnection {
    type Io = DuplexStream;

    async fn accept(&self) -> std::io::Result<(DuplexStream, PeerOrigin)> {
        match self.0.lock().await.take() {
            Some(io) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
                Ok((io, PeerOrigin::tcp(address, Ok(address))))
            }
            None => std::future::pending().await,
        }
    }

    fn close(self) -> Vec<(DuplexStream, PeerOrigin)> {
        Vec::new()
    }
}
