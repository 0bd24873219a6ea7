//! The listening sockets of all services. This process holds them while it runs: no other process
//! can take the port of a service that restarts, and its callers wait meanwhile.

use fibpro::process::print_note;
use rpc_runtime::ActivationSocket;

use super::plan::{OPERATOR, ServiceUrls, SystemPlan, start_order};

/// File mode of Unix sockets.
const SOCKET_MODE: u32 = 0o600;

/// The sockets of one service.
#[derive(Debug)]
pub(super) struct ServiceSockets {
    pub(super) service: &'static str,
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
    for service in start_order() {
        let mut sockets = Vec::new();
        for (option, listener) in listeners(service) {
            let address = plan.address(listener);
            let bound = ActivationSocket::bind(service, &address, SOCKET_MODE).await;
            let socket = bound.map_err(|error| error.message().to_owned())?;
            urls.add(listener, socket.url().to_owned());
            sockets.push((option, socket));
        }
        all.push(ServiceSockets { service, sockets });
    }
    Ok((urls, all))
}

/// Returns the listeners of a service, each with the option that sets its address.
fn listeners(service: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut listeners = vec![("--listen", service)];
    if service == "gatekeeper" {
        listeners.push(("--operator", OPERATOR));
    }
    listeners
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
            let bound = socket.bind_if_lost(self.service, SOCKET_MODE).await;
            if bound.map_err(|error| error.message().to_owned())? {
                print_note(format_args!(
                    "the socket file of {} was removed or replaced; {} is bound again",
                    self.service,
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
