//! The client: the trait's methods as calls, and the trait itself for code that is generic over it.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::{descriptor, site};
use crate::names;
use crate::service::model::{Argument, Method, Named, Service, Shape};

pub(super) fn definition(service: &Service) -> TokenStream {
    let Service {
        repeated,
        visibility,
        client,
        ..
    } = service;
    let docs = format!(
        "Client of [`{0}`]: its methods, each returning a [`Call`](::rpc_runtime::Call) to await.\n\n\
         Cloning is cheap; clones share their connections.",
        names::plain(&service.ident),
    );
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #(#repeated)*
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #visibility struct #client(::rpc_runtime::Client);
    }
}

pub(super) fn impls(service: &Service) -> TokenStream {
    let constructors = constructors(service);
    let ping = service.ping.then(|| ping(service));
    let calls = service.methods.iter().map(|method| call(method, service));
    let Service { client, .. } = service;
    let implementation = service.client_implements.then(|| implementation(service));
    quote_spanned! {Span::mixed_site()=>
        impl #client {
            #constructors
            #ping
            #(#calls)*
        }
        #implementation
    }
}

fn constructors(service: &Service) -> TokenStream {
    let Service {
        ident,
        visibility,
        server,
        implementation,
        ..
    } = service;
    let connect = "Makes a client for the service at an address such as `http://127.0.0.1:9002`.\n\n\
                   The connection is made by the first call.\n\n\
                   # Errors\n\nWhen the address cannot be understood.";
    let local = "Makes a client that calls `service` in this process, through the same layers and codecs but \
                 without a socket.";
    let with_client = "Makes a client with settings of its own, such as timeouts and layers.";
    quote_spanned! {Span::mixed_site()=>
        #[doc = #connect]
        #visibility fn connect(url: &str) -> ::rpc_runtime::Result<Self> {
            __rpc::connect(&__SERVICE, url).map(Self)
        }

        #[doc = #local]
        #visibility fn local<#implementation: #ident>(service: #implementation) -> Self {
            Self(__rpc::local(#server::new(service)))
        }

        #[doc = #with_client]
        #visibility fn with_client(client: ::rpc_runtime::Client) -> Self {
            Self(client)
        }
    }
}

fn ping(service: &Service) -> TokenStream {
    let visibility = &service.visibility;
    let docs = "Asks whether the service is there, and who answers.";
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #[track_caller]
        #visibility fn ping(&self) -> ::rpc_runtime::Call<::rpc_runtime::Pong> {
            __rpc::ping(&self.0, &__SERVICE)
        }
    }
}

/// The method that people use.
fn call(method: &Method, service: &Service) -> TokenStream {
    let Method {
        repeated, handle, ..
    } = method;
    let ident = method.ident();
    let visibility = &service.visibility;
    let docs = method.docs.is_empty().then(|| {
        let docs = format!(
            "Calls [`{0}::{1}`].",
            names::plain(&service.ident),
            names::plain(ident)
        );
        quote_spanned!(Span::mixed_site()=> #[doc = #docs])
    });
    let (ok, err) = descriptor::parts(&method.reply);
    let arguments = method
        .arguments
        .iter()
        .map(|argument| declared(&argument.named));
    let lent = method.arguments.iter().map(lent);
    quote_spanned! {site(method)=>
        #docs
        #(#repeated)*
        #[track_caller]
        #visibility fn #ident(&self, #(#arguments),*) -> ::rpc_runtime::Call<#ok, #err> {
            __rpc::call(&self.0, &#handle, (#(#lent,)*))
        }
    }
}

/// What the client hands to the codec: a borrow in any case.
fn lent(argument: &Argument) -> TokenStream {
    let ident = &argument.named.ident;
    match argument.shape {
        Shape::Owned(_) => quote_spanned!(Span::mixed_site()=> &#ident),
        _ => quote_spanned!(Span::mixed_site()=> #ident),
    }
}

/// `impl Foo for FooClient`. It cannot say where an error came from, since the trait's error type has no room for it.
fn implementation(service: &Service) -> TokenStream {
    let Service {
        ident,
        client,
        methods,
        ..
    } = service;
    let methods = methods.iter().map(forward);
    quote_spanned! {Span::mixed_site()=>
        impl #ident for #client {
            #(#methods)*
        }
    }
}

fn forward(method: &Method) -> TokenStream {
    let Method {
        gates,
        context,
        reply,
        arguments,
        ..
    } = method;
    let ident = method.ident();
    let ty = &reply.ty;
    let all = context
        .iter()
        .chain(arguments.iter().map(|argument| &argument.named))
        .map(declared);
    let names = arguments.iter().map(|argument| &argument.named.ident);
    let call = quote_spanned!(site(method)=> Self::#ident(self, #(#names),*));
    // The context that was given, which need not be the current one.
    let call = match context {
        Some(Named { ident, .. }) => {
            quote_spanned!(Span::mixed_site()=> ::rpc_runtime::Context::enter(#ident, || #call))
        }
        None => call,
    };
    quote_spanned! {site(method)=>
        #(#gates)*
        #[track_caller]
        // No `async fn`: the call is made here, in the caller's context and at the caller's line.
        fn #ident(&self, #(#all),*) -> impl ::core::future::Future<Output = #ty> {
            __rpc::outcome(#call)
        }
    }
}

fn declared(Named { ident, ty }: &Named) -> TokenStream {
    quote_spanned!(Span::mixed_site()=> #ident: #ty)
}
