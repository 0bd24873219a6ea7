//! The model of a service that the expansion is generated from: plain data.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{
    Attribute, Block, Expr, LitStr, Signature, Token, Type, TypeParamBound, Visibility,
    punctuated::Punctuated,
};

/// A trait with `#[rpc_service]`.
pub(crate) struct Service {
    /// The path of the runtime crate.
    pub(crate) runtime: TokenStream,
    /// The attributes of the trait, which stay on it.
    pub(crate) attributes: Vec<Attribute>,
    /// The attributes that are copied to the generated items: `#[cfg]`, `#[deprecated]`,
    /// `#[doc(hidden)]`.
    pub(crate) forwarded_attrs: Vec<Attribute>,
    /// Only the `#[cfg]`s.
    pub(crate) cfg_attrs: Vec<Attribute>,
    /// The visibility of the trait, as written.
    pub(crate) written_visibility: Visibility,
    /// The visibility of the generated items: the same, with generated spans.
    pub(crate) visibility: TokenStream,
    pub(crate) ident: Ident,
    pub(crate) supertraits: Punctuated<TypeParamBound, Token![+]>,
    pub(crate) client: Ident,
    pub(crate) server: Ident,
    /// The type parameter for an implementation of the trait.
    pub(crate) impl_param: Ident,
    pub(crate) package: SpannedName,
    pub(crate) name: SpannedName,
    pub(crate) endpoint: SpannedName,
    pub(crate) docs: String,
    /// Whether the service has the built-in method `ping`.
    pub(crate) ping: bool,
    /// `#[rpc_service(message)]`: all methods are in message style.
    pub(crate) message: bool,
    /// Whether the client and `Arc<T>` implement the trait.
    pub(crate) delegates: bool,
    pub(crate) methods: Vec<Method>,
}

impl Service {
    /// Returns the full name of the service, such as `fibpro.v1.LogSink`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.package.text, self.name.text)
    }

    /// Returns the path of a method, such as `/fibpro.v1.LogSink/RecvLog`.
    pub(crate) fn path(&self, wire_name: &str) -> String {
        format!("/{}/{wire_name}", self.full_name())
    }
}

/// A name that the developer wrote, or a default derived from an identifier.
pub(crate) struct SpannedName {
    pub(crate) text: String,
    /// The source location for an error about the name.
    pub(crate) span: Span,
}

/// A method of the service.
pub(crate) struct Method {
    /// The attributes that stay on the method of the trait.
    pub(crate) attributes: Vec<Attribute>,
    /// The attributes that are copied to the client's method: docs, `#[cfg]`, `#[deprecated]`.
    pub(crate) forwarded_attrs: Vec<Attribute>,
    /// Only the `#[cfg]`s.
    pub(crate) cfg_attrs: Vec<Attribute>,
    /// The signature as in the source, without `#[rpc(…)]`.
    pub(crate) signature: Signature,
    /// The default body of the method in the trait.
    pub(crate) default_body: Option<Block>,
    pub(crate) method_static: Ident,
    pub(crate) wire_name: SpannedName,
    pub(crate) docs: String,
    /// The parameter `ctx: &Context`, if the method has it.
    pub(crate) context: Option<Parameter>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) reply: Reply,
    pub(crate) effects: Effects,
    pub(crate) timeout: Option<Timeout>,
    /// `get = "/users/{id}"`
    pub(crate) get: Option<LitStr>,
    /// `post = "/users"`
    pub(crate) post: Option<LitStr>,
    /// `#[rpc(bare)]`: the response at these paths is the value itself.
    pub(crate) bare: Option<Ident>,
    /// `#[rpc(message)]`, here or on the trait.
    pub(crate) message: bool,
    pub(crate) detached: Option<Ident>,
    pub(crate) deprecated: bool,
}

impl Method {
    pub(crate) fn ident(&self) -> &Ident {
        &self.signature.ident
    }

    /// Returns the argument that is a stream. It is the only one in a valid method.
    pub(crate) fn request_stream(&self) -> Option<(&Argument, &Type)> {
        self.arguments
            .iter()
            .find_map(|argument| match &argument.form {
                ArgumentForm::Stream(ty) => Some((argument, ty)),
                _ => None,
            })
    }

    /// Returns the argument with `#[rpc(idempotency_key)]`.
    pub(crate) fn key(&self) -> Option<&Argument> {
        self.arguments
            .iter()
            .find(|argument| argument.key.is_some())
    }

    /// Returns the names of the method and of all of its parameters.
    pub(crate) fn idents(&self) -> impl Iterator<Item = &Ident> {
        let arguments = self.arguments.iter().map(|argument| &argument.parameter);
        let parameter = self.context.iter().chain(arguments);
        parameter
            .map(|parameter| &parameter.ident)
            .chain([self.ident()])
    }
}

/// The side effects of a method, with the option in the source that declares them.
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

/// The name and the type of a parameter, as written.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
}

/// A parameter that is sent with the call.
pub(crate) struct Argument {
    pub(crate) parameter: Parameter,
    pub(crate) form: ArgumentForm,
    /// `#[rpc(default)]` or `#[rpc(default = 20)]`
    pub(crate) default: Option<Ident>,
    /// The `20` of `#[rpc(default = 20)]`.
    pub(crate) default_value: Option<Expr>,
    /// `#[rpc(secret)]`
    pub(crate) secret: Option<Ident>,
    /// `#[rpc(idempotency_key)]`
    pub(crate) key: Option<Ident>,
    /// `#[rpc(idempotency_key(shared))]`
    pub(crate) key_is_shared: bool,
}

/// The form of an argument type, from which follow the owned type that the server decodes and the
/// value that it passes to the implementation.
pub(crate) enum ArgumentForm {
    /// `T`
    Owned(Type),
    /// `&T`
    Ref(Type),
    /// `&str`
    Str,
    /// `&[T]`
    Slice(Type),
    /// `Option<&str>`, `Option<&[T]>`, `Option<&T>`
    Optional(Box<ArgumentForm>),
    /// `Streaming<T>`, `Streaming<T, E>`
    Stream(Type),
}

/// The return type of a method.
pub(crate) struct Reply {
    pub(crate) ty: Type,
    /// `T` and `E`, if the type is written as `Result<T, E>`.
    pub(crate) parts: Option<(Type, Type)>,
    /// The `Streaming` of `Result<Streaming<T>>`, for errors about it.
    pub(crate) stream: Option<Ident>,
}
