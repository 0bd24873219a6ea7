//! The addresses of a DNS service name.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::poll::{Found, Outcome, poll};
use super::{Addresses, Discover, DynamicAddresses};
use crate::error::{Code, Error, Result};
use crate::text::EscapeControl;

/// The time between two lookups while the name cannot be looked up.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The time to wait for a connection to a target, by which its priority is chosen.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum length of a name in an error message, in bytes.
const NAME_LIMIT: usize = 255;

/// The time to wait for one name server, which is asked twice.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The addresses of a DNS service name (records SRV), which has the ports as well, such as those of
/// Consul and of a headless service of Kubernetes. Calls are balanced between them. Needs the
/// feature `dns`.
///
/// The targets with the lowest priority that can be reached are used (RFC 2782). If there are
/// several priorities, each lookup opens a connection to the targets until one accepts it; if none
/// does, those with the lowest priority stay. Within a priority all are used alike and weights are
/// not, since the client balances by load.
///
/// The name is looked up again when the records expire, after 1 s at the earliest and 60 s at the
/// latest, and after 5 s at the latest if there are several priorities. A lookup that fails is
/// logged, and the last addresses stay.
///
/// ```no_run
/// use rpc_runtime::{Client, discovery::SrvAddresses};
///
/// # async fn example() -> rpc_runtime::Result<()> {
/// let name = "_rpc._tcp.pricing.shop.svc.cluster.local.";
/// let client = Client::discover(SrvAddresses::resolve(name).await?);
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SrvAddresses(DynamicAddresses);

impl SrvAddresses {
    /// Looks up a service name at the name servers of the system, and again on a task until the
    /// client is dropped.
    ///
    /// A name without a final dot is completed by the search domains of the system. A name that is
    /// not known yet is no error: calls fail with `unavailable` until it is.
    ///
    /// # Errors
    ///
    /// - `invalid_argument`: not a name as `_service._tcp.example.org`.
    /// - `failed_precondition`: the name servers of the system cannot be read.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn resolve(name: &str) -> Result<Self> {
        let name = service_name(name)?;
        let mut builder = Resolver::builder_tokio().map_err(unusable)?;
        set_options(builder.options_mut());
        Self::follow(name, builder.build().map_err(unusable)?).await
    }

    /// Looks up a service name as [`resolve`](Self::resolve) does, at this name server, such as
    /// that of Consul at port 8600.
    ///
    /// # Errors
    ///
    /// `invalid_argument` as for [`resolve`](Self::resolve).
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub async fn resolve_at(name: &str, server: SocketAddr) -> Result<Self> {
        let name = service_name(name)?;
        let at = |mut connection: ConnectionConfig| {
            connection.port = server.port();
            connection
        };
        let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
        let server = NameServerConfig::new(server.ip(), true, connections);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = Resolver::builder_with_config(config, provider);
        set_options(builder.options_mut());
        Self::follow(name, builder.build().map_err(unusable)?).await
    }

    async fn follow(name: Name, resolver: TokioResolver) -> Result<Self> {
        let list = DynamicAddresses::new(name.to_utf8(), Vec::<String>::new());
        let source = Arc::new((resolver, name));
        let first = look_up(Arc::clone(&source)).await;
        let read = move || look_up(Arc::clone(&source));
        poll(&list, RETRY_INTERVAL, first, read);
        Ok(Self(list))
    }
}

impl Discover for SrvAddresses {
    fn name(&self) -> String {
        self.0.name()
    }

    fn addresses(&self) -> Addresses {
        self.0.addresses()
    }
}

fn set_options(options: &mut hickory_resolver::config::ResolverOpts) {
    options.timeout = TIMEOUT;
    options.attempts = 2;
    // The list is the cache.
    options.cache_size = 0;
}

#[allow(clippy::needless_pass_by_value, reason = "passed to `map_err`")]
fn unusable(error: impl std::fmt::Display) -> Error {
    let text = format!("failed to set up the lookup of service names: {error}");
    Error::without_location(Code::FailedPrecondition, text)
}

/// Parses a name whose first two labels begin with `_`.
fn service_name(name: &str) -> Result<Name> {
    let labels = name.split('.').take(2);
    let has_form = labels
        .filter(|label| label.len() > 1 && label.starts_with('_'))
        .count()
        == 2;
    let parsed = Name::from_utf8(name).ok().filter(|_| has_form);
    parsed.ok_or_else(|| {
        let shown = EscapeControl(name).truncated(NAME_LIMIT);
        let text =
            format!("invalid service name `{shown}`: expected `_SERVICE._tcp.DOMAIN`, such as `_rpc._tcp.pricing.example.org`");
        Error::without_location(Code::InvalidArgument, text)
    })
}

async fn look_up(source: Arc<(TokioResolver, Name)>) -> Outcome {
    let (resolver, name) = &*source;
    let lookup = resolver.srv_lookup(name.clone()).await;
    let lookup = lookup.map_err(|error| format!("{name}: {error}"))?;
    let mut records: Vec<&SRV> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(record) => Some(record),
            _ => None,
        })
        .collect();
    if records.is_empty() {
        return Err(format!("{name}: no records"));
    }
    records.sort_unstable_by_key(|record| record.priority);
    let mut valid_until = lookup.valid_until();
    let mut problem = None;
    let mut tiers = Vec::new();
    for group in records.chunk_by(|a, b| a.priority == b.priority) {
        let mut found = Vec::new();
        // A root target says that the service is not offered at this name.
        for record in group.iter().filter(|record| !record.target.is_root()) {
            match addresses(resolver, record, &lookup).await {
                Ok((ips, until)) => {
                    valid_until = valid_until.min(until);
                    found.extend(ips.into_iter().map(|ip| SocketAddr::new(ip, record.port)));
                }
                Err(error) => problem = Some(format!("{}: {error}", record.target)),
            }
        }
        if !found.is_empty() {
            // Servers rotate their answers, which is no change.
            found.sort_unstable();
            found.dedup();
            tiers.push(found);
        }
    }
    if tiers.is_empty() {
        return match problem {
            Some(problem) => Err(problem),
            None => Ok(Found::new(Vec::new(), None)),
        };
    }
    if tiers.len() > 1 {
        valid_until = valid_until.min(Instant::now() + RETRY_INTERVAL);
    }
    let tier = reachable(&tiers).await;
    let urls = tier.iter().map(|address| format!("http://{address}"));
    let valid = valid_until.saturating_duration_since(Instant::now());
    Ok(Found::new(urls.collect(), Some(valid)))
}

/// Returns the addresses of the lowest priority of which one accepts a connection, or of the lowest
/// one.
async fn reachable(tiers: &[Vec<SocketAddr>]) -> &[SocketAddr] {
    let Some((first, others)) = tiers.split_first() else {
        return &[];
    };
    if others.is_empty() {
        return first;
    }
    for tier in tiers {
        let mut connecting: JoinSet<_> = tier
            .iter()
            .map(|address| timeout(CONNECT_TIMEOUT, TcpStream::connect(*address)))
            .collect();
        while let Some(connected) = connecting.join_next().await {
            if matches!(connected, Ok(Ok(Ok(_)))) {
                return tier;
            }
        }
    }
    first
}

/// Returns the addresses of a target, which the server may have sent along.
async fn addresses(
    resolver: &TokioResolver,
    record: &SRV,
    lookup: &hickory_resolver::lookup::Lookup,
) -> Result<(Vec<IpAddr>, Instant), String> {
    let sent = lookup.additionals().iter();
    let sent: Vec<IpAddr> = sent
        .filter(|additional| additional.name == record.target)
        .filter_map(|additional| additional.data.ip_addr())
        .collect();
    if !sent.is_empty() {
        return Ok((sent, lookup.valid_until()));
    }
    let found = resolver.lookup_ip(record.target.clone()).await;
    let found = found.map_err(|error| error.to_string())?;
    Ok((found.iter().collect(), found.valid_until()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_has_a_service_and_a_protocol() {
        for good in ["_rpc._tcp.shop.svc", "_a._tcp.example.org.", "_rpc._tcp"] {
            assert!(service_name(good).is_ok(), "{good}");
        }
        let long = format!("_rpc._tcp.{}", "a".repeat(64));
        for bad in [
            "",
            ".",
            "pricing.shop.svc",
            "_rpc.pricing",
            "_._tcp.shop",
            "_rpc._tcp..shop",
            "http://_rpc._tcp.shop:80",
            &long,
        ] {
            let error = service_name(bad).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{bad}");
        }
    }
}
