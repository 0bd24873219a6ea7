//! The service and its methods as `'static` data, and the entry of the registry.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

use super::{site, site_of_type};
use crate::names;
use crate::service::model::{Argument, Effects, Method, Reply, Service, Shape};
use crate::spelling::spelled;

/// One static for each method: what it is called, how its arguments and its reply are coded.
pub(super) fn methods(service: &Service) -> TokenStream {
    service
        .methods
        .iter()
        .map(|method| handle(method, service))
        .collect()
}

/// The static of the service, and its registration.
pub(super) fn service(service: &Service) -> TokenStream {
    let full_name = service.full_name();
    let (package, name, endpoint) = (
        &service.package.text,
        &service.name.text,
        &service.endpoint.text,
    );
    let docs = docs(&service.docs);
    let methods = service.methods.iter().map(|Method { gates, handle, .. }| {
        quote_spanned!(Span::mixed_site()=> #(#gates)* *#handle.descriptor(),)
    });
    let ping = service.ping.then(|| {
        let path = service.path("Ping");
        quote_spanned!(Span::mixed_site()=> __rpc::ping_descriptor(#full_name, #path))
    });
    quote_spanned! {Span::mixed_site()=>
        // A static of its own, since a reference to it would not live long enough inside of the next one.
        static __METHODS: &[__rpc::MethodDescriptor] = &[#(#methods)* #ping];

        static __SERVICE: __rpc::ServiceDescriptor =
            __rpc::ServiceDescriptor::new(#full_name, #package, #name, #endpoint)
                #docs
                .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
                .methods(__METHODS);

        __rpc::inventory::submit! { __rpc::Registration(&__SERVICE) }
    }
}

fn handle(method: &Method, service: &Service) -> TokenStream {
    let Method {
        gates,
        handle,
        arguments,
        reply,
        ..
    } = method;
    let shapes: Vec<TokenStream> = arguments
        .iter()
        .map(|argument| shape(&argument.shape, site_of_type(&argument.named.ty)))
        .collect();
    let (ok, err) = parts(reply);
    let descriptor = descriptor(method, service);
    let codecs = arguments
        .iter()
        .zip(&shapes)
        .map(|(argument, shape)| codec(method, argument, shape));
    let reply_codec = if method.message {
        "message_reply"
    } else {
        "reply"
    };
    let ty = &reply.ty;
    let reply_codec = Ident::new(reply_codec, site_of_type(ty));
    let reply_codec = quote_spanned!(site_of_type(ty)=> __rpc::#reply_codec::<#ty>());
    quote_spanned! {site(method)=>
        #(#gates)*
        static #handle: __rpc::Method<(#(#shapes,)*), #ok, #err> =
            __rpc::method(#descriptor, (#(#codecs)*), #reply_codec);
    }
}

fn descriptor(method: &Method, service: &Service) -> TokenStream {
    let full_name = service.full_name();
    let name = names::plain(method.ident());
    let wire_name = &method.wire_name.text;
    let path = service.path(wire_name);
    let docs = docs(&method.docs);
    let arguments = arguments(method);
    let returns = spelled(&method.reply.ty);
    let options = options(method);
    quote_spanned! {Span::mixed_site()=>
        __rpc::MethodDescriptor::new(#full_name, #name, #wire_name, #path) #docs #arguments .returns(#returns) #options
    }
}

fn docs(docs: &str) -> Option<TokenStream> {
    (!docs.is_empty()).then(|| quote_spanned!(Span::mixed_site()=> .docs(#docs)))
}

fn arguments(method: &Method) -> Option<TokenStream> {
    let arguments = method.arguments.iter().map(|Argument { named, default, secret, .. }| {
        let (name, ty) = (names::plain(&named.ident), spelled(&named.ty));
        let default = default.as_ref().map(|_| quote_spanned!(Span::mixed_site()=> .or_default()));
        let secret = secret.as_ref().map(|_| quote_spanned!(Span::mixed_site()=> .secret()));
        quote_spanned!(Span::mixed_site()=> __rpc::ArgumentDescriptor::new(#name, #ty) #default #secret)
    });
    (!method.arguments.is_empty())
        .then(|| quote_spanned!(Span::mixed_site()=> .arguments(&[#(#arguments),*])))
}

fn options(method: &Method) -> TokenStream {
    let mut options = TokenStream::new();
    match method.effects {
        Effects::Unknown => {}
        Effects::Idempotent(_) => {
            options.extend(quote_spanned!(Span::mixed_site()=> .idempotent()));
        }
        Effects::None(_) => options.extend(quote_spanned!(Span::mixed_site()=> .no_side_effects())),
    }
    if let Some(key) = method.key() {
        let name = names::plain(&key.named.ident);
        options.extend(quote_spanned!(Span::mixed_site()=> .idempotency_key(#name)));
    }
    if let Some(timeout) = &method.timeout {
        let milliseconds = proc_macro2::Literal::u64_unsuffixed(timeout.milliseconds);
        options.extend(quote_spanned!(Span::mixed_site()=> .timeout_ms(#milliseconds)));
    }
    if method.message {
        options.extend(quote_spanned!(Span::mixed_site()=> .message_style()));
    }
    if method.detached.is_some() {
        options.extend(quote_spanned!(Span::mixed_site()=> .detached()));
    }
    if method.deprecated {
        options.extend(quote_spanned!(Span::mixed_site()=> .deprecated()));
    }
    options
}

/// The call that makes the codec of an argument. The bounds on the argument's type stand on the runtime's function.
fn codec(method: &Method, argument: &Argument, shape: &TokenStream) -> TokenStream {
    let site = site_of_type(&argument.named.ty);
    match (&argument.shape, method.message) {
        (Shape::Owned(ty) | Shape::Ref(ty), true) => {
            quote_spanned!(site=> __rpc::message::<#ty>(),)
        }
        _ if argument.key.is_some() => {
            quote_spanned!(site=> __rpc::idempotency_key::<#shape>(),)
        }
        _ if argument.default.is_some() => {
            quote_spanned!(site=> __rpc::argument_or_default::<#shape>(),)
        }
        _ => quote_spanned!(site=> __rpc::argument::<#shape>(),),
    }
}

/// The runtime's type for a shape.
fn shape(shape: &Shape, site: Span) -> TokenStream {
    match shape {
        Shape::Owned(ty) | Shape::Ref(ty) => quote_spanned!(site_of_type(ty)=> __rpc::Owned<#ty>),
        Shape::Slice(ty) => quote_spanned!(site_of_type(ty)=> __rpc::Slice<#ty>),
        Shape::Str => quote_spanned!(site=> __rpc::Str),
        Shape::Maybe(inner) => {
            let inner = self::shape(inner, site);
            quote_spanned!(site=> __rpc::Optional<#inner>)
        }
    }
}

/// The types of the value and the error. Where the tokens do not name them, an alias does, and only the compiler can
/// see through it.
pub(super) fn parts(reply: &Reply) -> (TokenStream, TokenStream) {
    let ty = &reply.ty;
    match &reply.parts {
        Some((ok, err)) => (
            quote_spanned!(site_of_type(ok)=> #ok),
            quote_spanned!(site_of_type(err)=> #err),
        ),
        None => (
            quote_spanned!(site_of_type(ty)=> <#ty as __rpc::RpcResult>::Ok),
            quote_spanned!(site_of_type(ty)=> <#ty as __rpc::RpcResult>::Err),
        ),
    }
}
