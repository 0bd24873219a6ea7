//! Expands the trait, with futures that are `Send`.
//!
//! Only here do generated tokens have the developer's spans: errors about a missing method or a
//! missing implementation then point to the trait and not to the attribute.

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::{Signature, Token};

use crate::service::model::{Method, Service};

pub(super) fn trait_item(service: &Service) -> TokenStream {
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

/// Expands `async fn f(…) -> R` to `fn f(…) -> impl Future<Output = R> + Send`: the future of an
/// `async fn` in a trait is not known to be `Send`.
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
