//! A service as plain `'static` data: names, docs, arguments, types, semantics. It has no behaviour.

use std::time::Duration;

/// What `#[rpc_service]` knows of a trait.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ServiceDescriptor {
    /// Full name, such as `fibpro.v1.LogSink`. Unique in a process.
    pub full_name: &'static str,
    /// Package, such as `fibpro.v1`.
    pub package: &'static str,
    /// Name without the package.
    pub name: &'static str,
    /// The name under which discovery knows it, such as `logsink`.
    pub endpoint: &'static str,
    /// Doc comment of the trait.
    pub docs: &'static str,
    /// Version of the crate that declares the trait.
    pub version: &'static str,
    /// Module that declares the trait.
    pub module: &'static str,
    /// Methods in the order of the trait, `Ping` last.
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

/// What `#[rpc_service]` knows of a method.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct MethodDescriptor {
    /// Full name of the service.
    pub service: &'static str,
    /// Name in Rust, such as `recv_log`.
    pub name: &'static str,
    /// Name on the wire, such as `RecvLog`.
    pub wire_name: &'static str,
    /// Path of the HTTP request, such as `/fibpro.v1.LogSink/RecvLog`.
    pub path: &'static str,
    /// Doc comment of the method.
    pub docs: &'static str,
    /// Arguments in order; a `ctx: &Context` is not one.
    pub arguments: &'static [ArgumentDescriptor],
    /// The declared return type as written.
    pub returns: &'static str,
    /// What a repeated call may do.
    pub idempotency: Idempotency,
    /// Whether the arguments are the request, or fields of it.
    pub style: MessageStyle,
    /// The server's cap for a call and the client's default.
    pub timeout: Option<Duration>,
    /// Whether the work goes on when the caller goes away or its deadline passes.
    pub detached: bool,
    /// Whether the trait marks it `#[deprecated]`.
    pub deprecated: bool,
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
            deprecated: false,
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
        // What is begun under a key goes on, so that there is a result to answer repeats with.
        self.detached = true;
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
    pub const fn deprecated(mut self) -> Self {
        self.deprecated = true;
        self
    }

    /// Returns the name on the wire with its service, such as `fibpro.v1.LogSink/RecvLog`: the path without its slash.
    #[must_use]
    pub fn full_name(&self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    /// Name for people, such as `LogSink.RecvLog`: the service without its package, and the wire name.
    #[must_use]
    pub fn short_name(&self) -> String {
        let service = self.service.rsplit('.').next().unwrap_or(self.service);
        format!("{service}.{}", self.wire_name)
    }
}

/// What `#[rpc_service]` knows of an argument.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ArgumentDescriptor {
    /// Name in Rust and on the wire.
    pub name: &'static str,
    /// The type as written.
    pub type_name: &'static str,
    /// Whether a missing one becomes the type's `Default`.
    pub has_default: bool,
    /// Whether it is masked in everything that people see.
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

/// What happens when a call is made twice. The names are those of protobuf's `idempotency_level`, and one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Nobody said; never repeated by itself.
    Unknown,
    /// Twice is the same as once.
    Idempotent,
    /// The server answers a repeat with the result of the first call, see [`IdempotencyStore`](crate::idempotency::IdempotencyStore).
    Keyed {
        /// The argument that says which calls are the same one: `#[rpc(idempotency_key)]`.
        argument: &'static str,
    },
    /// Changes nothing: may be repeated, hedged and fetched by `GET`.
    NoSideEffects,
}

/// How a method's arguments and value become messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageStyle {
    /// Arguments are the fields of the request; the value is the response's field `result`.
    Arguments,
    /// The one argument is the request; the value is the response.
    Message,
}
