//! Expands the client: a method for each method of the trait.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::delegate::{self, declared};
use super::{descriptor, method_span};
use crate::names;
use crate::service::model::{Argument, ArgumentForm, Method, Service};
use crate::token_text::token_text;

pub(super) fn definition(service: &Service) -> TokenStream {
    let Service {
        forwarded_attrs,
        visibility,
        client,
        runtime,
        ..
    } = service;
    let docs = format!(
        "Client of [`{0}`]. Each method returns a [`Call`]({1}::Call) to await.\n\n\
         Cloning is cheap; clones share their connections.",
        names::unraw(&service.ident),
        token_text(runtime),
    );
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #(#forwarded_attrs)*
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client(#runtime::Client);
    }
}

pub(super) fn impls(service: &Service) -> TokenStream {
    let constructors = constructors(service);
    let ping = service.ping.then(|| ping(service));
    let calls = service.methods.iter().map(|method| call(method, service));
    let Service { client, .. } = service;
    let trait_impl = delegate::client(service);
    quote_spanned! {Span::mixed_site()=>
        impl #client {
            #constructors
            #ping
            #(#calls)*
        }
        #trait_impl
    }
}

fn constructors(service: &Service) -> TokenStream {
    let visibility = &service.visibility;
    let connect = "Creates a client of the service at a URL such as `http://127.0.0.1:9002`.\n\n\
                   The first call connects. With identity keys each call is signed and sends its \
                   context, whatever the host; a client of another system's server is one with \
                   `Client::external`.\n\n\
                   # Errors\n\nIf the URL is not valid.";
    let with_client = format!(
        "Creates a client from a configured [`Client`]({}::Client).",
        token_text(&service.runtime)
    );
    quote_spanned! {Span::mixed_site()=>
        #[doc = #connect]
        #visibility fn connect(url: &str) -> __rpc::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }

        #[doc = #with_client]
        #visibility fn with_client(client: __rpc::Client) -> Self {
            Self(client)
        }
    }
}

/// Expands the constructor that needs both sides.
pub(super) fn local(service: &Service) -> TokenStream {
    let Service {
        ident,
        visibility,
        client,
        server,
        impl_param,
        ..
    } = service;
    let docs = "Creates a client that calls `service` in this process, through the same layers and codecs but \
                without a socket.";
    quote_spanned! {Span::mixed_site()=>
        impl #client {
            #[doc = #docs]
            #visibility fn local<#impl_param: #ident>(service: #impl_param) -> Self {
                Self(__rpc::local(#server::new(service)))
            }
        }
    }
}

fn ping(service: &Service) -> TokenStream {
    let visibility = &service.visibility;
    let docs = "Checks that the service is reachable, and returns what it reports about itself.";
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #[track_caller]
        #visibility fn ping(&self) -> __rpc::Call<__rpc::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
    }
}

/// Expands the client's method for a method of the trait.
fn call(method: &Method, service: &Service) -> TokenStream {
    let Method {
        forwarded_attrs,
        method_static,
        ..
    } = method;
    let ident = method.ident();
    let visibility = &service.visibility;
    let docs = method.docs.is_empty().then(|| {
        let docs = format!(
            "Calls [`{0}::{1}`].",
            names::unraw(&service.ident),
            names::unraw(ident)
        );
        quote_spanned!(Span::mixed_site()=> #[doc = #docs])
    });
    let (ok, err) = descriptor::parts(&method.reply);
    let arguments = method
        .arguments
        .iter()
        .map(|argument| declared(&argument.parameter));
    let borrowed = method.arguments.iter().map(borrowed);
    quote_spanned! {method_span(method)=>
        #docs
        #(#forwarded_attrs)*
        #[track_caller]
        #visibility fn #ident(&self, #(#arguments),*) -> __rpc::Call<#ok, #err> {
            __rpc::call(&self.0, &#method_static, (#(#borrowed,)*))
        }
    }
}

/// Returns the expression for an argument of the codec: a reference, or a stream.
fn borrowed(argument: &Argument) -> TokenStream {
    let ident = &argument.parameter.ident;
    match argument.form {
        ArgumentForm::Owned(_) => quote_spanned!(Span::mixed_site()=> &#ident),
        _ => quote_spanned!(Span::mixed_site()=> #ident),
    }
}
