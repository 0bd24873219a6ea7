//! Expands implementations of the trait that pass each call on: for the client, and for `Arc<T>`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

use super::method_span;
use crate::service::model::{Method, Parameter, Service};

/// Expands `impl Foo for FooClient`. It loses the hop chain, which the trait's error type cannot
/// carry.
pub(super) fn client(service: &Service) -> Option<TokenStream> {
    let Service { ident, client, .. } = service;
    let methods = service.methods.iter().map(|method| {
        let (name, names) = (method.ident(), argument_names(method));
        let call = quote_spanned!(method_span(method)=> Self::#name(self, #(#names),*));
        // The given context need not be the current one.
        let call = match &method.context {
            Some(Parameter { ident, .. }) => {
                quote_spanned!(Span::mixed_site()=> __rpc::Context::enter(#ident, || #call))
            }
            None => call,
        };
        let track_caller = quote_spanned!(method_span(method)=> #[track_caller]);
        let outcome = quote_spanned!(method_span(method)=> __rpc::outcome(#call));
        self::method(method, &track_caller, &outcome)
    });
    service.delegates.then(|| {
        quote_spanned! {Span::mixed_site()=>
            impl #ident for #client {
                #(#methods)*
            }
        }
    })
}

/// Expands `impl Foo for Arc<T>`, so that a test can keep a handle of the fake that it passes to a
/// client.
pub(super) fn arc(service: &Service) -> Option<TokenStream> {
    let ident = &service.ident;
    // The methods name the user's types, of which one may be called `T`.
    let impl_param = Ident::new("__T", Span::mixed_site());
    let methods = service.methods.iter().map(|method| {
        let (name, names) = (method.ident(), argument_names(method));
        let context = method.context.iter().map(|context| &context.ident);
        let call = quote_spanned! {method_span(method)=>
            <#impl_param as #ident>::#name(self, #(#context,)* #(#names),*)
        };
        self::method(method, &TokenStream::new(), &call)
    });
    service.delegates.then(|| {
        quote_spanned! {Span::mixed_site()=>
            impl<#impl_param: #ident> #ident for __rpc::Arc<#impl_param> {
                #(#methods)*
            }
        }
    })
}

/// Expands a method of the trait with this body.
///
/// Not an `async fn`: a call of a client is created here, in the caller's context and at the
/// caller's line.
fn method(method: &Method, track_caller: &TokenStream, body: &TokenStream) -> TokenStream {
    let Method {
        cfg_attrs,
        context,
        reply,
        arguments,
        ..
    } = method;
    let ident = method.ident();
    let ty = &reply.ty;
    let all = context
        .iter()
        .chain(arguments.iter().map(|argument| &argument.parameter))
        .map(declared);
    quote_spanned! {method_span(method)=>
        #(#cfg_attrs)*
        #track_caller
        fn #ident(&self, #(#all),*) -> impl __rpc::Future<Output = #ty> { #body }
    }
}

fn argument_names(method: &Method) -> impl Iterator<Item = &Ident> {
    let arguments = method.arguments.iter();
    arguments.map(|argument| &argument.parameter.ident)
}

pub(super) fn declared(Parameter { ident, ty }: &Parameter) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> #ident: #ty)
}
