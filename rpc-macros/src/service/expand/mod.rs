//! Model → tokens. The expansion consists of names, types and calls into the runtime, which
//! implements the behaviour.
//!
//! Three rules apply to all tokens. Paths are absolute and lead through `__private` of the runtime.
//! Generated names have `mixed_site` spans, so an argument named `service` does not collide with
//! them. Tokens that require something of a developer's type have its span, so the compiler points
//! to the type.

mod client;
mod delegate;
mod descriptor;
mod server;
mod trait_item;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Type, spanned::Spanned};

use super::model::{Method, Service};

pub(super) fn service(service: &Service) -> TokenStream {
    let trait_item = trait_item::trait_item(service);
    let client = client::definition(service);
    let server = server::definition(service);
    let methods = descriptor::methods(service);
    let descriptor = descriptor::service(service);
    let client_impls = client::impls(service);
    let server_impls = server::impls(service);
    let local = client::local(service);
    let arc = delegate::arc(service);
    let runtime = &service.runtime;
    let cfg_attrs = &service.cfg_attrs;
    let lints = allowed_lints(service);
    quote_spanned! {Span::mixed_site()=>
        #trait_item
        #runtime::__private::sides! { client { #client } server { #server } }
        #(#cfg_attrs)*
        #[allow(#(#lints),*)]
        const _: () = {
            use #runtime::__private as __rpc;
            // A parameter may have the name of a function, and may not have that of a `static`
            // beside the trait. All other variables of the expansion begin with `__`.
            fn url() {}
            fn client() {}
            fn service() {}
            #methods
            #descriptor
            #arc
            __rpc::sides! { client { #client_impls } server { #server_impls } both { #local } }
        };
    }
}

/// Returns the lints to allow in the expansion, which would repeat what they report at the trait.
/// Only the lints that can fire are listed, since allowing a lint that the crate forbids is an
/// error.
fn allowed_lints(service: &Service) -> Vec<TokenStream> {
    let Service {
        forwarded_attrs,
        methods,
        ..
    } = service;
    let mut forwarded_attrs = forwarded_attrs
        .iter()
        .chain(methods.iter().flat_map(|method| &method.forwarded_attrs));
    // Docs and `cfg` cannot deprecate; `cfg_attr` can.
    let deprecated = forwarded_attrs.any(|attribute| {
        !["doc", "cfg"]
            .iter()
            .any(|name| attribute.path().is_ident(name))
    });
    let mut idents = methods.iter().flat_map(Method::idents);
    let lints = [
        // A private trait may leave parts of its client unused.
        (true, quote!(dead_code)),
        (deprecated, quote!(deprecated)),
        (
            idents.any(|ident| ident.to_string().contains(char::is_uppercase)),
            quote!(non_snake_case),
        ),
        // Clippy's limit of seven includes `self` and the context.
        (
            methods.iter().any(|method| method.arguments.len() > 5),
            quote!(clippy::too_many_arguments),
        ),
    ];
    lints
        .into_iter()
        .filter_map(|(needed, lint)| needed.then_some(lint))
        .collect()
}

/// Returns the span for generated tokens of a method: the compiler reports their errors at the
/// method and not at the attribute.
fn method_span(method: &Method) -> Span {
    Span::mixed_site().located_at(method.ident().span())
}

/// Returns the span for generated tokens that require something of a type.
fn type_span(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}
