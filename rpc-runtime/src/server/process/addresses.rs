//! Addresses that options give, and the settings of their listeners.

use std::mem::take;

use super::config::ProcessConfig;
use crate::error::{Code, Error, Result};
use crate::server::Trust;
use crate::server::transport::listen::settings::ListenOptions;

/// Addresses of one kind of listener, with the name of their option.
type Given = (Trust, &'static str, Vec<String>);

impl ProcessConfig {
    /// Replaces the addresses that are set by those of options. The listeners of the program are
    /// remembered for their settings.
    pub(crate) fn replace_addresses(&mut self, given: impl IntoIterator<Item = Given>) {
        let set = take(&mut self.listen).into_iter();
        self.replaced.extend(set.filter(|at| !at.is_bare));
        for (trust, option, addresses) in given {
            let bare = addresses.into_iter().map(|address| ListenOptions {
                option: Some(option),
                is_bare: true,
                ..ListenOptions::new(address, trust)
            });
            self.listen.extend(bare);
        }
    }

    /// Takes the addresses to bind. An address of an option has the settings of the program's
    /// listener of its kind: an operator who changes an address never removes TLS or shows more.
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an address that may stand for several listeners with different
    /// settings.
    pub(crate) fn take_addresses(&mut self) -> Result<Vec<ListenOptions>> {
        let replaced = take(&mut self.replaced);
        let (bare, own): (Vec<_>, Vec<_>) = take(&mut self.listen)
            .into_iter()
            .partition(|at| at.is_bare);
        let settled = bare.into_iter().map(|at| settle(at, &replaced, &own));
        let mut all: Vec<_> = settled.collect::<Result<_>>()?;
        all.extend(own);
        Ok(all)
    }
}

/// Gives an address of an option the settings of the listener that it stands for. `replaced` are
/// those that were set before the options, and `own` those after.
fn settle(
    at: ListenOptions,
    replaced: &[ListenOptions],
    own: &[ListenOptions],
) -> Result<ListenOptions> {
    // An edge without a listener of its kind shows no more than the internal ones.
    let kinds = match at.trust {
        Trust::Internal => &[Trust::Internal][..],
        Trust::Edge => &[Trust::Edge, Trust::Internal],
    };
    for &kind in kinds {
        for listeners in [replaced, own] {
            let same = listeners.iter().filter(|other| other.trust == kind);
            let same: Vec<_> = same.collect();
            let exact = same.iter().find(|other| other.address == at.address);
            let Some(first) = exact.or(same.first()) else {
                continue;
            };
            if exact.is_none() && same.iter().any(|other| !other.is_same_kind(first)) {
                return Err(ambiguous(&at, &same));
            }
            return Ok(at.with_settings_of(first));
        }
    }
    Ok(at)
}

fn ambiguous(at: &ListenOptions, same: &[&ListenOptions]) -> Error {
    let addresses: Vec<_> = same.iter().map(|at| at.address.as_str()).collect();
    let text = format!(
        "{} could take the place of any of the listeners {}, whose TLS, `only` or PROXY protocol differ; give one of \
         these addresses, or let the program have an option for each",
        at.address,
        addresses.join(", ")
    );
    let error = Error::without_location(Code::InvalidArgument, text);
    match at.option {
        Some(option) => error.caused_by_option(option),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;

    const OPTION: &str = "--listen-edge (RPC_LISTEN_EDGE)";

    /// Returns the listeners of a server whose option names one edge address.
    fn edge(program: impl FnOnce(Server) -> Server, address: &str) -> Result<Vec<ListenOptions>> {
        let mut server = program(Server::new("shop"));
        let given = (Trust::Edge, OPTION, vec![address.to_owned()]);
        server.process.replace_addresses([given]);
        server.process.take_addresses()
    }

    fn public(address: &str) -> ListenOptions {
        ListenOptions::edge(address).only(["a"]).proxy_protocol()
    }

    #[test]
    fn an_address_keeps_the_settings_of_its_kind() {
        let program = |server: Server| server.listen("in:1").listen_with(public("out:1"));
        let listeners = edge(program, "out:2").unwrap();
        let [only] = &listeners[..] else {
            panic!("{listeners:?}")
        };
        assert_eq!((only.address.as_str(), only.trust), ("out:2", Trust::Edge));
        assert!(only.is_same_kind(&public("")), "{only:?}");
    }

    #[test]
    fn an_edge_shows_no_more_than_internal_ones() {
        let inside = ListenOptions::internal("in:1").only(["a"]);
        let listeners = edge(|server| server.listen_with(inside), "out:2").unwrap();
        assert_eq!(listeners[0].only.as_deref(), Some(&["a".to_owned()][..]));
        assert_eq!(listeners[0].trust, Trust::Edge);
    }

    #[test]
    fn different_settings_need_an_exact_address() {
        let program = |server: Server| server.listen_with(public("out:1")).listen_edge("out:2");
        let error = edge(program, "out:3").unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        for part in [OPTION, "out:3", "out:1, out:2", "give one"] {
            assert!(error.message().contains(part), "{error}");
        }
        let shown = |address: &str| edge(program, address).unwrap()[0].only.is_some();
        assert_eq!((shown("out:1"), shown("out:2")), (true, false));
    }

    #[test]
    fn options_before_the_listener_have_its_settings() {
        let mut server = Server::new("shop");
        let given = (Trust::Edge, OPTION, vec!["out:2".to_owned()]);
        server.process.replace_addresses([given]);
        let mut server = server.listen_with(public("out:1"));
        let listeners = server.process.take_addresses().unwrap();
        let shown: Vec<_> = listeners.iter().map(|at| at.only.is_some()).collect();
        assert_eq!(shown, [true, true]);
    }
}
