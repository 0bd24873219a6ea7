//! Sockets that a service manager passes to this process: systemd's socket activation.
//!
//! The manager sets `LISTEN_FDS` to the number of sockets, whose descriptors begin at 3, and
//! `LISTEN_PID` to the ID of the process that they are for. A process that inherits the variables
//! without being meant by them ignores them.

use std::ffi::OsString;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Mutex;
use std::{env, process};

use listenfd::ListenFd;
use socket2::SockRef;
use tokio::net::lookup_host;

use super::Listener;
use super::address::Address;
use super::unix::{self, SocketFile};
use crate::error::{Code, Error, Result};
use crate::sync::MutexExt as _;

/// Maximum number of inherited sockets.
const MAX_SOCKETS: usize = 64;

/// The sockets that no server of this process has taken; `None` until the environment is read.
static SOCKETS: Mutex<Option<Vec<InheritedSocket>>> = Mutex::new(None);

/// A listening socket that was passed to this process.
#[derive(Debug)]
pub(super) enum InheritedSocket {
    Tcp(TcpListener, SocketAddr),
    /// With its file, if this process has bound it.
    Unix(UnixListener, PathBuf, Option<SocketFile>),
}

/// Adds a socket for the server of this process that binds its address.
///
/// # Errors
///
/// As [`take`].
pub(super) fn add(socket: InheritedSocket) -> Result<()> {
    has_sockets()?;
    SOCKETS
        .lock_unpoisoned()
        .get_or_insert_default()
        .push(socket);
    Ok(())
}

/// Takes the socket that is bound to `address`, in the form of an option; `None` if there is none.
///
/// # Errors
///
/// `failed_precondition` if an inherited descriptor is not a listening socket.
pub(crate) async fn take(address: &str) -> Result<Option<Listener>> {
    if !has_sockets()? {
        return Ok(None);
    }
    let wanted = match Address::parse(address) {
        Ok(Address::Unix(path)) => Wanted::Unix(path.into()),
        Ok(Address::AllInterfaces(port)) => Wanted::Tcp(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]),
        Ok(Address::Tcp { host, port }) => {
            let addresses = lookup_host(format!("{host}:{port}")).await;
            // An address that cannot be resolved is reported when it is bound.
            Wanted::Tcp(addresses.map(Iterator::collect).unwrap_or_default())
        }
        // Also reported then.
        Err(_) => return Ok(None),
    };
    let taken = {
        let mut sockets = SOCKETS.lock_unpoisoned();
        let sockets = sockets.get_or_insert_default();
        let place = sockets.iter().position(|socket| wanted.is(socket));
        place.map(|place| sockets.remove(place))
    };
    taken.map(InheritedSocket::into_listener).transpose()
}

/// Takes all sockets that [`take`] has left.
///
/// # Errors
///
/// As [`take`].
pub(crate) fn take_rest() -> Result<Vec<Listener>> {
    if !has_sockets()? {
        return Ok(Vec::new());
    }
    let rest = SOCKETS.lock_unpoisoned().replace(Vec::new());
    let rest = rest.unwrap_or_default().into_iter();
    rest.map(InheritedSocket::into_listener).collect()
}

/// Reads the environment on the first call, and returns whether sockets are left.
fn has_sockets() -> Result<bool> {
    let mut sockets = SOCKETS.lock_unpoisoned();
    let sockets = match &mut *sockets {
        Some(sockets) => sockets,
        unread => unread.insert(read()?),
    };
    Ok(!sockets.is_empty())
}

/// An address for which a socket is searched.
enum Wanted {
    Tcp(Vec<SocketAddr>),
    Unix(PathBuf),
}

impl Wanted {
    fn is(&self, socket: &InheritedSocket) -> bool {
        match (self, socket) {
            (Self::Tcp(addresses), InheritedSocket::Tcp(_, bound)) => addresses.contains(bound),
            (Self::Unix(path), InheritedSocket::Unix(_, bound, _)) => path == bound,
            _ => false,
        }
    }
}

impl InheritedSocket {
    fn into_listener(self) -> Result<Listener> {
        let listener = match self {
            Self::Tcp(listener, _) => Listener::from_std(listener),
            Self::Unix(listener, path, file) => {
                unix::Socket::from_std(listener, path, file).map(Listener::Unix)
            }
        };
        listener.map_err(|error| refused(format!("cannot use an inherited socket: {error}")))
    }

    /// Returns the socket at an index of the passed ones.
    ///
    /// # Errors
    ///
    /// The reason for which a server cannot accept connections from it.
    fn at(passed: &mut ListenFd, index: usize) -> Result<Self, String> {
        let taken = match passed.take_tcp_listener(index) {
            Ok(Some(listener)) => {
                let address = listener.local_addr().map_err(|error| error.to_string())?;
                Self::Tcp(listener, address)
            }
            // Not a TCP socket, so it may be a Unix socket.
            _ => match passed.take_unix_listener(index) {
                Ok(Some(listener)) => {
                    let address = listener.local_addr().map_err(|error| error.to_string())?;
                    let path = address
                        .as_pathname()
                        .ok_or("it is a Unix socket without a path")?;
                    let path = path.to_owned();
                    Self::Unix(listener, path, None)
                }
                _ => return Err("it is not a TCP or Unix stream socket".to_owned()),
            },
        };
        let socket = match &taken {
            Self::Tcp(listener, _) => SockRef::from(listener),
            Self::Unix(listener, ..) => SockRef::from(listener),
        };
        if socket.peer_addr().is_ok() {
            return Err("it is a connection; pass the listening socket (`Accept=no`)".to_owned());
        }
        match socket.is_listener() {
            Ok(true) => Ok(taken),
            Ok(false) => Err(
                "it is a socket that does not listen; pass one that does (`Accept=no`)".to_owned(),
            ),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Reads the environment, and takes the sockets out of it.
fn read() -> Result<Vec<InheritedSocket>> {
    let count = announced(|name| env::var_os(name), process::id()).map_err(refused)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    // Removes both variables, so that no process that this one starts reads them.
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..count {
        let socket = InheritedSocket::at(&mut passed, index).map_err(|why| {
            let descriptor = index + 3;
            refused(format!(
                "cannot use the inherited descriptor {descriptor} (LISTEN_FDS={count}): {why}"
            ))
        })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Returns how many sockets the variables announce to the process with this ID.
///
/// # Errors
///
/// A text for the operator if `LISTEN_FDS` is not a number of sockets.
fn announced(variable: impl Fn(&str) -> Option<OsString>, id: u32) -> Result<usize, String> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let Some(count) = set("LISTEN_FDS") else {
        return Ok(0);
    };
    let count = count.to_string_lossy();
    let Some(meant) = set("LISTEN_PID") else {
        tracing::warn!(
            target: "rpc",
            "LISTEN_FDS={} is ignored, because LISTEN_PID is not set",
            count.escape_debug()
        );
        return Ok(0);
    };
    if meant.to_str().and_then(|meant| meant.parse().ok()) != Some(id) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count @ 0..=MAX_SOCKETS) => Ok(count),
        _ => Err(format!(
            "invalid variable LISTEN_FDS `{}`: expected the number of inherited sockets, at most {MAX_SOCKETS}",
            count.escape_debug()
        )),
    }
}

fn refused(text: impl Into<String>) -> Error {
    Error::without_location(Code::FailedPrecondition, text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(fds: Option<&str>, pid: Option<&str>) -> Result<usize, String> {
        let variable = |name: &str| match name {
            "LISTEN_FDS" => fds.map(OsString::from),
            _ => pid.map(OsString::from),
        };
        announced(variable, 42)
    }

    #[test]
    fn only_the_meant_process_has_sockets() {
        for (fds, pid, expected) in [
            (None, None, 0),
            (None, Some("42"), 0),
            (Some(""), Some("42"), 0),
            (Some("0"), Some("42"), 0),
            (Some("2"), Some("42"), 2),
            (Some("2"), Some("43"), 0),
            (Some("2"), Some("42 "), 0),
            (Some("2"), Some(""), 0),
            (Some("2"), None, 0),
            // Not meant for this process, so the value does not matter.
            (Some("many"), Some("1"), 0),
        ] {
            assert_eq!(count(fds, pid), Ok(expected), "{fds:?} {pid:?}");
        }
    }

    #[test]
    fn an_invalid_number_of_sockets_is_refused() {
        for fds in ["many", "-1", "65", "18446744073709551616", "1.0", "2\n"] {
            let text = count(Some(fds), Some("42")).unwrap_err();
            assert!(text.starts_with("invalid variable LISTEN_FDS `"), "{text}");
        }
    }
}
