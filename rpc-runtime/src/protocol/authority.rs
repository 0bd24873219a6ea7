//! The host of a server in URLs and in the `Host` header.

use std::net::IpAddr;

/// Returns the host of an authority, without the brackets of IPv6. `None` if it is malformed.
pub(crate) fn host_of(authority: &str) -> Option<&str> {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = rest.strip_prefix(':');
        return (rest.is_empty() || port.is_some_and(is_port)).then_some(host);
    }
    match authority.split_once(':') {
        Some((host, port)) => is_port(port).then_some(host),
        None => Some(authority),
    }
}

/// Returns whether a name always is a name of loopback: `localhost`, or one that ends in it.
pub(crate) fn is_local_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name
            .len()
            .checked_sub(".localhost".len())
            .and_then(|start| name.get(start..))
            .is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
}

/// Returns whether an authority is a loopback address, or a name that always is one. A connection
/// to the unspecified address is one to loopback.
pub(crate) fn is_loopback_host(authority: &str) -> bool {
    host_of(authority).is_some_and(|host| match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback() || ip.is_unspecified(),
        Err(_) => is_local_name(host),
    })
}
