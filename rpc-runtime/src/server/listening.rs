//! The listeners of a server: their addresses, and what is trusted there.

use super::transport::listen::settings::ListenOptions;
use super::{Server, Trust};

impl Server {
    /// Adds an internal listener, for other services, on `address`: a TCP address such as
    /// `127.0.0.1:9002`, where port 0 selects a free port and `:9002` means all interfaces, or a
    /// Unix socket such as `unix:/run/logsink.sock`. May be called repeatedly.
    ///
    /// Without keys (see [`identity`](Self::identity)) an internal listener serves peers on this
    /// host only. Every process that may open its Unix socket is trusted; see
    /// [`socket_mode`](Self::socket_mode). The socket file of a killed server is replaced; one that
    /// is in use is not. A lock on the file `PATH.lock`, which is never removed, distinguishes the
    /// two.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a builder that takes literals and addresses alike"
    )]
    pub fn listen(self, address: impl ToString) -> Self {
        self.listen_on(address.to_string(), Trust::Internal, None)
    }

    /// Adds an edge listener, for untrusted callers, on `address`: the `x-rpc-*` headers of
    /// requests are ignored, and errors are sent without the services that they passed.
    #[allow(clippy::needless_pass_by_value, reason = "as for `listen`")]
    pub fn listen_edge(self, address: impl ToString) -> Self {
        self.listen_on(address.to_string(), Trust::Edge, None)
    }

    /// Adds an internal listener on an address that is from an option of the program, such as
    /// `--operator (SHOP_OPERATOR)`: an error of the address begins with `option`. Otherwise like
    /// [`listen`](Self::listen).
    pub fn listen_option(self, address: impl Into<String>, option: &'static str) -> Self {
        self.listen_on(address.into(), Trust::Internal, Some(option))
    }

    /// Adds an edge listener on an address that is from an option of the program, as
    /// [`listen_option`](Self::listen_option) does for an internal one.
    pub fn listen_edge_option(self, address: impl Into<String>, option: &'static str) -> Self {
        self.listen_on(address.into(), Trust::Edge, Some(option))
    }

    /// Adds a listener with options: TLS of its own, the services that it shows, the PROXY
    /// protocol. See [`ListenOptions`].
    pub fn listen_with(mut self, options: ListenOptions) -> Self {
        self.process.listen.push(options);
        self
    }

    fn listen_on(self, address: String, trust: Trust, option: Option<&'static str>) -> Self {
        self.listen_with(ListenOptions {
            option,
            ..ListenOptions::new(address, trust)
        })
    }

    /// Sets the networks of proxies, such as `10.0.0.0/8`, that state the addresses of their
    /// clients in the headers `Forwarded` and `X-Forwarded-For`, or by the PROXY protocol (see
    /// [`ListenOptions::proxy_protocol`]). Adds to those of `--trusted-proxy`. By default no proxy
    /// is trusted.
    ///
    /// [`Context::peer_address`](crate::Context::peer_address) is then the address of the client:
    /// the first address from the right that is not that of a trusted proxy. A malformed entry ends
    /// the search at the entry to its right. If a request has both headers and they name different
    /// clients, its address is that of the proxy; let the proxy remove the header that it does not
    /// write.
    ///
    /// A client behind a proxy is not trusted because of its address, even if the proxy is on this
    /// host.
    ///
    /// The start fails with `invalid_argument` for anything that is not a network or an address.
    pub fn trusted_proxies(
        mut self,
        networks: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let networks = networks.into_iter().map(Into::into);
        self.config.proxies.extend(networks);
        self
    }

    /// Sets the file mode of Unix sockets, whose write bits determine which users may connect.
    /// Defaults to `0o600`: only the user that the server runs as.
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.process.socket_mode = mode;
        self
    }
}
