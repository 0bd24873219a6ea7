//! Descriptors: the names, docs, arguments, types and semantics of a service as plain `'static`
//! data.

use std::time::Duration;

/// The description of a service, which `#[rpc_service]` generates from a trait.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// The full name, such as `fibpro.v1.LogSink`. Unique in a process.
    pub full_name: &'static str,
    /// The package, such as `fibpro.v1`.
    pub package: &'static str,
    /// The name without the package.
    pub name: &'static str,
    /// The name for discovery, such as `logsink`.
    pub endpoint: &'static str,
    /// The doc comment of the trait.
    pub docs: &'static str,
    /// The version of the crate that declares the trait.
    pub version: &'static str,
    /// The module that declares the trait.
    pub module: &'static str,
    /// The methods in the order of the trait, then `Ping`.
    pub methods: &'static [MethodDescriptor],
}

impl ServiceDescriptor {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        full_name: &'static str,
        package: &'static str,
        name: &'static str,
        endpoint: &'static str,
    ) -> Self {
        Self {
            full_name,
            package,
            name,
            endpoint,
            docs: "",
            version: "",
            module: "",
            methods: &[],
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn source(mut self, version: &'static str, module: &'static str) -> Self {
        self.version = version;
        self.module = module;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn methods(mut self, methods: &'static [MethodDescriptor]) -> Self {
        self.methods = methods;
        self
    }
}

/// The description of a method.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MethodDescriptor {
    /// The full name of the service.
    pub service: &'static str,
    /// The name in Rust, such as `recv_log`.
    pub name: &'static str,
    /// The name on the wire, such as `RecvLog`.
    pub wire_name: &'static str,
    /// The path of the HTTP request, such as `/fibpro.v1.LogSink/RecvLog`.
    pub path: &'static str,
    /// The doc comment of the method.
    pub docs: &'static str,
    /// The arguments in order, without a `ctx: &Context`.
    pub arguments: &'static [ArgumentDescriptor],
    /// The return type as written in the trait.
    pub returns: &'static str,
    /// The effect of a repeated call.
    pub idempotency: Idempotency,
    /// Whether the arguments are fields of the request message, or the one argument is the message.
    pub style: MessageStyle,
    /// The maximum timeout on the server and the default timeout of clients.
    pub timeout: Option<Duration>,
    /// Whether the method keeps running after its caller disconnects or the deadline passes.
    pub detached: bool,
    /// Whether all callers share the keys of a method with an idempotency key.
    pub key_is_shared: bool,
    /// Whether the caller sends a stream of messages: the argument is a `Streaming<T>`.
    pub client_streaming: bool,
    /// Whether the server sends a stream of messages: the value is a `Streaming<T>`.
    pub server_streaming: bool,
    /// Whether the method is marked `#[deprecated]`.
    pub deprecated: bool,
    /// The path at which the method can be called by `GET` too: `#[rpc(get = "/users/{id}")]`.
    pub http_get: Option<&'static str>,
    /// The path at which the method can be called by `POST` too: `#[rpc(post = "/users")]`.
    pub http_post: Option<&'static str>,
    /// Whether the response at these paths is the value itself, without `result`: `#[rpc(bare)]`.
    pub http_bare: bool,
}

impl MethodDescriptor {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(
        service: &'static str,
        name: &'static str,
        wire_name: &'static str,
        path: &'static str,
    ) -> Self {
        Self {
            service,
            name,
            wire_name,
            path,
            docs: "",
            arguments: &[],
            returns: "",
            idempotency: Idempotency::Unknown,
            style: MessageStyle::Arguments,
            timeout: None,
            detached: false,
            key_is_shared: false,
            client_streaming: false,
            server_streaming: false,
            deprecated: false,
            http_get: None,
            http_post: None,
            http_bare: false,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn docs(mut self, docs: &'static str) -> Self {
        self.docs = docs;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [ArgumentDescriptor]) -> Self {
        self.arguments = arguments;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn returns(mut self, returns: &'static str) -> Self {
        self.returns = returns;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotency = Idempotency::Idempotent;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn no_side_effects(mut self) -> Self {
        self.idempotency = Idempotency::NoSideEffects;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn idempotency_key(mut self, argument: &'static str) -> Self {
        self.idempotency = Idempotency::Keyed { argument };
        // A call with a key runs to its end, because its result is returned to repeated calls.
        self.detached = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn shared_key(mut self) -> Self {
        self.key_is_shared = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn timeout_ms(mut self, milliseconds: u64) -> Self {
        self.timeout = Some(Duration::from_millis(milliseconds));
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn message_style(mut self) -> Self {
        self.style = MessageStyle::Message;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn http_get(mut self, path: &'static str) -> Self {
        self.http_get = Some(path);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn http_post(mut self, path: &'static str) -> Self {
        self.http_post = Some(path);
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn client_streaming(mut self) -> Self {
        self.client_streaming = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn server_streaming(mut self) -> Self {
        self.server_streaming = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn http_bare(mut self) -> Self {
        self.http_bare = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// Returns whether the request or the response is a stream.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        self.client_streaming || self.server_streaming
    }

    /// Returns the name on the wire with its service, such as `fibpro.v1.LogSink/RecvLog`: the path
    /// without its slash.
    #[must_use]
    pub fn full_name(&self) -> &'static str {
        full_name(self.path)
    }

    /// Returns the name for display, such as `LogSink.RecvLog`: the service without its package,
    /// and the wire name.
    #[must_use]
    pub fn short_name(&self) -> String {
        let service = self.service.rsplit('.').next().unwrap_or(self.service);
        format!("{service}.{}", self.wire_name)
    }
}

/// The name on the wire with its service, as settings name a method.
impl AsRef<str> for MethodDescriptor {
    fn as_ref(&self) -> &str {
        self.full_name()
    }
}

/// The description of an argument.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ArgumentDescriptor {
    /// The name in Rust and on the wire.
    pub name: &'static str,
    /// The type as written in the trait.
    pub type_name: &'static str,
    /// Whether a missing value is the type's `Default`.
    pub has_default: bool,
    /// Whether the value is masked in logs and error texts.
    pub secret: bool,
}

impl ArgumentDescriptor {
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str, type_name: &'static str) -> Self {
        Self {
            name,
            type_name,
            has_default: false,
            secret: false,
        }
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn or_default(mut self) -> Self {
        self.has_default = true;
        self
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// The effect of repeating a call. The names are those of protobuf's `idempotency_level`, and
/// `Keyed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Idempotency {
    /// Not specified. The call is not retried automatically.
    Unknown,
    /// A repeated call has no further effect.
    Idempotent,
    /// The server returns the result of the first call to repeated calls, see
    /// [`IdempotencyStore`](crate::idempotency::IdempotencyStore).
    Keyed {
        /// The argument with the idempotency key: `#[rpc(idempotency_key)]`.
        argument: &'static str,
    },
    /// The call changes nothing. It may be retried, hedged and sent as `GET`.
    NoSideEffects,
}

/// The mapping of a method's arguments and value to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MessageStyle {
    /// The arguments are fields of the request. The value is the field `result` of the response.
    Arguments,
    /// The one argument is the request. The value is the response.
    Message,
}

/// Returns a method's path without its slash, which is its name on the wire with its service.
pub(crate) fn full_name(path: &str) -> &str {
    path.trim_start_matches('/')
}
