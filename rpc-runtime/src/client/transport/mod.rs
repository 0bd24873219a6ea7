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

    /// Where it leads, for people.
    pub(super) fn target(&self) -> &Arc<str> {
        &self.target
    }
}

impl Endpoint for Transport {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<Response> {
        match &self.road {
            RoadKind::Http(road) => Box::pin(Arc::clone(road).send(request)),
            RoadKind::Local(endpoint) => Arc::clone(endpoint).call(request),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.target)
    }
}
