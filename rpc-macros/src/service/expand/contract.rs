//! The trait itself, with futures that can be sent to another thread.
//!
//! Here alone the expansion's tokens have the developer's spans: an implementation that lacks a method, or a type that
//! lacks the implementation, is shown the trait and not the attribute on it.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Signature, Token};

use crate::service::model::{Method, Service};

pub(super) fn contract(service: &Service) -> TokenStream {
    let Service {
        attributes,
        written_visibility,
        ident,
        supertraits,
        methods,
        ..
    } = service;
    let plus =
        (!supertraits.is_empty() && !supertraits.trailing_punct()).then(<Token![+]>::default);
    let methods = methods.iter().map(method);
    quote_spanned! {ident.span()=>
        #(#attributes)*
        #written_visibility trait #ident: #supertraits #plus ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

/// `async fn f(…) -> R` as `fn f(…) -> impl Future<Output = R> + Send`, which promises more: an `async fn` of a
/// trait does not say whether its future may change threads.
fn method(method: &Method) -> TokenStream {
    let attributes = &method.attributes;
    let Signature {
        fn_token,
        ident,
        inputs,
        ..
    } = &method.signature;
    let ty = &method.reply.ty;
    let body = match &method.default_body {
        Some(body) => quote_spanned!(ident.span()=> { async move #body }),
        None => quote_spanned!(ident.span()=> ;),
    };
    quote_spanned! {ident.span()=>
        #(#attributes)*
        #fn_token #ident(#inputs) -> impl ::core::future::Future<Output = #ty> + ::core::marker::Send
        #body
    }
}
