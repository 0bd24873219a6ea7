//! The roads to a server. All but this folder is the same for each of them.

mod http;
mod pool;
mod target;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::sync::Arc;

use self::http::Road;
use self::target::Target;
use super::sending::Sending;
use crate::error::Result;
use crate::middleware::{BoxFuture, Endpoint, Request, Response};

/// A way to reach a server.
pub(crate) struct Transport {
    road: RoadKind,
    target: Arc<str>,
}

enum RoadKind {
    Http(Arc<Road>),
    /// In this process, see `crate::local`.
    Local(Arc<dyn Endpoint>),
}

impl Transport {
    /// The road for a URL.
    pub(super) fn to(url: &str) -> Result<Self> {
        let target = Target::parse(url)?;
        Ok(Self {
            target: target.text().into(),
            road: RoadKind::Http(Arc::new(Road::new(target)?)),
        })
    }

    pub(super) fn by_reqwest(url: &str, client: reqwest::Client) -> Result<Self> {
        let target = Target::parse(url)?;
        Ok(Self {
            target: target.text().into(),
            road: RoadKind::Http(Arc::new(Road::by_reqwest(target, client)?)),
        })
    }

    /// The road within this process.
    pub(crate) fn local(endpoint: Arc<dyn Endpoint>) -> Self {
        Self {
            target: "local".into(),
            road: RoadKind::Local(endpoint),
        }
    }

    pub(super) fn http2(&self) -> Self {
        let road = match &self.road {
            RoadKind::Http(road) => RoadKind::Http(Arc::new(road.http2())),
            RoadKind::Local(endpoint) => RoadKind::Local(Arc::clone(endpoint)),
        };
        Self {
            road,
            target: Arc::clone(&self.target),
        }
    }

    /// Whether it stays in this process.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.road, RoadKind::Local(_))
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn send(&self, request: &Sending) -> Response {
        match &self.road {
            RoadKind::Http(road) => road.send(request).await,
            RoadKind::Local(endpoint) => Arc::clone(endpoint).call(request.to_request()).await,
        }
    }

    /// Where it leads, for people.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }
}

impl Endpoint for Transport {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        Box::pin(async move {
            match Sending::take(request) {
                Ok((request, _guards)) => self.send(&request).await,
                Err(error) => error.into(),
            }
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.target)
    }
}
