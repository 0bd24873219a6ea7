//! A service as the expansion sees it: plain data, every decision taken.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{
    Attribute, Block, Signature, Token, Type, TypeParamBound, Visibility, punctuated::Punctuated,
};

/// A trait with `#[rpc_service]`.
pub(crate) struct Service {
    /// The trait's own attributes, which stay on it.
    pub(crate) attributes: Vec<Attribute>,
    /// Those among them that the generated items repeat: `#[cfg]`, `#[deprecated]`, `#[doc(hidden)]`.
    pub(crate) repeated: Vec<Attribute>,
    /// Only the `#[cfg]`s among them.
    pub(crate) gates: Vec<Attribute>,
    /// How far the trait is visible.
    pub(crate) written_visibility: Visibility,
    /// How far everything generated is visible: as far as the trait.
    pub(crate) visibility: TokenStream,
    pub(crate) ident: Ident,
    pub(crate) supertraits: Punctuated<TypeParamBound, Token![+]>,
    pub(crate) client: Ident,
    pub(crate) server: Ident,
    /// The type parameter that stands for an implementation.
    pub(crate) implementation: Ident,
    pub(crate) package: Chosen,
    pub(crate) name: Chosen,
    pub(crate) endpoint: Chosen,
    pub(crate) docs: String,
    /// Whether there is a built-in `ping`.
    pub(crate) ping: bool,
    /// `#[rpc_service(message)]`: all methods are in message style.
    pub(crate) message: bool,
    /// Whether the client implements the trait.
    pub(crate) client_implements: bool,
    pub(crate) methods: Vec<Method>,
}

impl Service {
    /// `fibpro.v1.LogSink`
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.package.text, self.name.text)
    }

    /// `/fibpro.v1.LogSink/RecvLog`
    pub(crate) fn path(&self, wire_name: &str) -> String {
        format!("/{}/{wire_name}", self.full_name())
    }
}

/// A name that the developer wrote or that follows from another one.
pub(crate) struct Chosen {
    pub(crate) text: String,
    /// What to point at when the name will not do.
    pub(crate) span: Span,
}

/// A method of the service.
pub(crate) struct Method {
    /// Attributes that stay on the trait's method.
    pub(crate) attributes: Vec<Attribute>,
    /// Those among them that the client's method repeats: docs, `#[cfg]`, `#[deprecated]`.
    pub(crate) repeated: Vec<Attribute>,
    /// Only the `#[cfg]`s among them.
    pub(crate) gates: Vec<Attribute>,
    /// As in the source, without our attributes.
    pub(crate) signature: Signature,
    /// What the server does when the implementation has no such method.
    pub(crate) default_body: Option<Block>,
    pub(crate) handle: Ident,
    pub(crate) wire_name: Chosen,
    pub(crate) docs: String,
    /// The argument `ctx: &Context`, where the method asks for it.
    pub(crate) context: Option<Named>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) reply: Reply,
    pub(crate) effects: Effects,
    pub(crate) timeout: Option<Timeout>,
    /// `#[rpc(message)]`, here or on the trait.
    pub(crate) message: bool,
    pub(crate) detached: Option<Ident>,
    pub(crate) deprecated: bool,
}

impl Method {
    pub(crate) fn ident(&self) -> &Ident {
        &self.signature.ident
    }

    /// The argument by which a server knows a repeated call.
    pub(crate) fn key(&self) -> Option<&Argument> {
        self.arguments
            .iter()
            .find(|argument| argument.key.is_some())
    }

    /// The names of the method and of everything that it takes.
    pub(crate) fn idents(&self) -> impl Iterator<Item = &Ident> {
        let arguments = self.arguments.iter().map(|argument| &argument.named);
        let named = self.context.iter().chain(arguments);
        named.map(|named| &named.ident).chain([self.ident()])
    }
}

/// What a call changes. The idents are the options that said so.
pub(crate) enum Effects {
    Unknown,
    Idempotent(Ident),
    None(Ident),
}

/// `timeout = "2s"`
pub(crate) struct Timeout {
    pub(crate) milliseconds: u64,
    pub(crate) span: Span,
}

/// An argument's name and its type as written.
pub(crate) struct Named {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
}

/// An argument that travels.
pub(crate) struct Argument {
    pub(crate) named: Named,
    pub(crate) shape: Shape,
    /// `#[rpc(default)]`
    pub(crate) default: Option<Ident>,
    /// `#[rpc(secret)]`
    pub(crate) secret: Option<Ident>,
    /// `#[rpc(idempotency_key)]`
    pub(crate) key: Option<Ident>,
}

/// How an argument is lent: which owned form the server decodes, and what it passes on.
pub(crate) enum Shape {
    /// `T`
    Owned(Type),
    /// `&T`
    Ref(Type),
    /// `&str`
    Str,
    /// `&[T]`
    Slice(Type),
    /// `Option<&str>`, `Option<&[T]>`, `Option<&T>`
    Maybe(Box<Shape>),
}

/// What a method returns.
pub(crate) struct Reply {
    pub(crate) ty: Type,
    /// The value's and the error's type, where the tokens say `Result<T, E>`.
    pub(crate) parts: Option<(Type, Type)>,
}
