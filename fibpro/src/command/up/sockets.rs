//! The listening sockets of all services. This process holds them while it runs: no other process
//! can take the port of a service that restarts, and its callers wait meanwhile.

use std::sync::Arc;

use fibpro::process::print_note;
use rpc_runtime::ActivationSocket;

use super::plan::{OPERATOR, ServiceUrls, SystemPlan, start_order};

/// File mode of Unix sockets.
const SOCKET_MODE: u32 = 0o600;

/// The sockets of one replica of a service.
#[derive(Debug)]
pub(super) struct ServiceSockets {
    pub(super) service: &'static str,
    /// Name of the replica.
    pub(super) name: Arc<str>,
    /// Each with the option of the service that sets its address.
    pub(super) sockets: Vec<(&'static str, ActivationSocket)>,
}

/// Binds the sockets of all services, in the order of their start.
///
/// # Errors
///
/// The first address that cannot be bound, and the reason.
pub(super) async fn bind(plan: &SystemPlan) -> Result<(ServiceUrls, Vec<ServiceSockets>), String> {
    let mut urls = ServiceUrls::default();
    let mut all = Vec::new();
    let replicas =
        start_order().flat_map(|service| plan.replicas(service).map(move |name| (service, name)));
    for (service, name) in replicas {
        let mut sockets = vec![("--listen", service, plan.address(&name))];
        if service == "gatekeeper" {
            sockets.push(("--operator", OPERATOR, plan.address(OPERATOR)));
        }
        let mut bound = Vec::new();
        for (option, listener, address) in sockets {
            let socket = ActivationSocket::bind(&name, &address, SOCKET_MODE).await;
            let socket = socket.map_err(|error| error.message().to_owned())?;
            urls.add(listener, socket.url().to_owned());
            bound.push((option, socket));
        }
        all.push(ServiceSockets {
            service,
            name,
            sockets: bound,
        });
    }
    Ok((urls, all))
}

impl ServiceSockets {
    /// Returns the URL of the first socket.
    pub(super) fn url(&self) -> &str {
        self.sockets.first().map_or("", |(_, socket)| socket.url())
    }

    /// Binds the sockets again whose files were removed or replaced: no new connection would reach
    /// the service.
    pub(super) async fn bind_lost(&mut self) -> Result<(), String> {
        for (_, socket) in &mut self.sockets {
            let bound = socket.bind_if_lost(&self.name, SOCKET_MODE).await;
            if bound.map_err(|error| error.message().to_owned())? {
                print_note(format_args!(
                    "the socket file of {} was removed or replaced; {} is bound again",
                    self.name,
                    socket.url()
                ));
            }
        }
        Ok(())
    }

    /// Returns the options with the addresses of the sockets.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        self.sockets.iter().flat_map(|(option, socket)| {
            let url = socket.url();
            let address = url.strip_prefix("http://").unwrap_or(url);
            [(*option).to_owned(), address.to_owned()]
        })
    }
}
