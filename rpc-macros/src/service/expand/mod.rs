//! Model → tokens. What is emitted is names, types and single calls into the runtime, which has the behaviour.
//!
//! Three rules hold for every token here. Paths are absolute, through one hidden door of the runtime. Names of the
//! expansion have `mixed_site` spans, so that an argument called `service` is not ours. And whatever a type of the
//! developer may fail at is spanned by that type, so that the compiler points there.

mod client;
mod contract;
mod descriptor;
mod server;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Type, spanned::Spanned};

use super::model::{Method, Service};

pub(super) fn service(service: &Service) -> TokenStream {
    let contract = contract::contract(service);
    let client = client::definition(service);
    let server = server::definition(service);
    let methods = descriptor::methods(service);
    let descriptor = descriptor::service(service);
    let client_impls = client::impls(service);
    let server_impls = server::impls(service);
    let gates = &service.gates;
    let lints = tolerated(service);
    quote_spanned! {Span::mixed_site()=>
        #contract
        #client
        #server
        #(#gates)*
        #[allow(#(#lints),*)]
        const _: () = {
            use ::rpc_runtime::__private as __rpc;
            #methods
            #descriptor
            #client_impls
            #server_impls
        };
    }
}

/// The lints that the developer hears about at the trait, and would hear about again for what is made of it. Only
/// those that it takes: where a crate forbids a lint, allowing it is an error.
fn tolerated(service: &Service) -> Vec<TokenStream> {
    let Service {
        repeated, methods, ..
    } = service;
    let mut repeated = repeated
        .iter()
        .chain(methods.iter().flat_map(|method| &method.repeated));
    // Of those that are repeated, docs and `cfg` do not deprecate; a `cfg_attr` may.
    let deprecated = repeated.any(|attribute| {
        !["doc", "cfg"]
            .iter()
            .any(|name| attribute.path().is_ident(name))
    });
    let mut idents = methods.iter().flat_map(Method::idents);
    let lints = [
        // A private trait need not use all of its client.
        (true, quote!(dead_code)),
        (deprecated, quote!(deprecated)),
        (
            idents.any(|ident| ident.to_string().contains(char::is_uppercase)),
            quote!(non_snake_case),
        ),
        // Clippy's limit of seven counts `self`, and the trait's method has the context too.
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

/// The place of a method, for tokens of ours that are about it: what the compiler has to say about them, it says
/// there and not at the attribute.
fn site(method: &Method) -> Span {
    Span::mixed_site().located_at(method.ident().span())
}

/// The place of a developer's type, for tokens of ours that ask something of the type.
fn site_of_type(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}
