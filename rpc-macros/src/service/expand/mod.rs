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
use quote::quote_spanned;
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
    quote_spanned! {Span::mixed_site()=>
        #contract
        #client
        #server
        #(#gates)*
        // A private trait need not use all of its client, a deprecated method is still served, and what the names
        // and the number of its arguments are is said at the trait.
        #[allow(dead_code, deprecated, non_snake_case, clippy::too_many_arguments)]
        const _: () = {
            use ::rpc_runtime::__private as __rpc;
            #methods
            #descriptor
            #client_impls
            #server_impls
        };
    }
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
