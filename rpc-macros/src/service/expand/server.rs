//! Expands the server: a wrapper of an implementation, with a route for each method.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::{descriptor, method_span, type_span};
use crate::names;
use crate::service::model::{Argument, ArgumentForm, Method, Parameter, Service};

pub(super) fn definition(service: &Service) -> TokenStream {
    let Service {
        forwarded_attrs,
        visibility,
        server,
        impl_param,
        runtime,
        ..
    } = service;
    let docs = format!(
        "Server of [`{0}`]: `Server::new(\"name\").add({1}::new(implementation))`.",
        names::unraw(&service.ident),
        service.server,
    );
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #(#forwarded_attrs)*
        #visibility struct #server<#impl_param>(#runtime::__private::Arc<#impl_param>);
    }
}

pub(super) fn impls(service: &Service) -> TokenStream {
    let Service {
        ident,
        visibility,
        server,
        impl_param,
        ..
    } = service;
    let routes = service.methods.iter().map(|method| route(method, service));
    let names = descriptor::full_names(service);
    let new = "Wraps an implementation, which clones of the server share.";
    let into_router = "Returns the service as an axum router, to be combined with other routes.\n\n# Errors\n\nIf two linked services have the same full name.";
    quote_spanned! {Span::mixed_site()=>
        impl<#impl_param: #ident> #server<#impl_param> {
            #[doc = #new]
            #visibility fn new(service: #impl_param) -> Self {
                Self(__rpc::Arc::new(service))
            }

            #[doc = #into_router]
            #visibility fn into_router(self) -> __rpc::Result<__rpc::Router> {
                __rpc::into_router(self)
            }
        }

        // For one type, so that `FooServer::METHOD` needs no type argument.
        impl #server<()> {
            #names
        }

        __rpc::server! { #server }

        impl<#impl_param: #ident> __rpc::Service for #server<#impl_param> {
            fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
                &__SERVICE
            }

            fn into_routes(self) -> __rpc::Routes {
                let __routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
                #(#routes)*
                __routes.build()
            }
        }
    }
}

fn route(method: &Method, service: &Service) -> TokenStream {
    let Method {
        cfg_attrs,
        method_static,
        ..
    } = method;
    let Service {
        ident, impl_param, ..
    } = service;
    let name = method.ident();
    let arguments = method
        .arguments
        .iter()
        .map(|argument| &argument.parameter.ident);
    let passed = method.arguments.iter().map(passed);
    let (context, borrowed_context) = match &method.context {
        // The span of the type makes an error about another `Context` point to it.
        Some(Parameter { ty, .. }) => {
            let site = type_span(ty);
            (
                quote_spanned!(Span::mixed_site()=> __context),
                quote_spanned!(site=> &__context,),
            )
        }
        None => (quote_spanned!(Span::mixed_site()=> _), TokenStream::new()),
    };
    quote_spanned! {method_span(method)=>
        #(#cfg_attrs)*
        let __routes = __routes.add(&#method_static, |__service, #context, (#(#arguments,)*)| async move {
            <#impl_param as #ident>::#name(&__service, #borrowed_context #(#passed),*).await
        });
    }
}

/// Returns the expression for the argument of the implementation; the future owns the decoded data.
fn passed(argument: &Argument) -> TokenStream {
    let ident = &argument.parameter.ident;
    match &argument.form {
        ArgumentForm::Owned(_) | ArgumentForm::Stream(_) => {
            quote_spanned!(Span::mixed_site()=> #ident)
        }
        ArgumentForm::Ref(_) | ArgumentForm::Str | ArgumentForm::Slice(_) => {
            quote_spanned!(Span::mixed_site()=> &#ident)
        }
        ArgumentForm::Optional(inner) => match **inner {
            ArgumentForm::Str | ArgumentForm::Slice(_) => {
                quote_spanned!(Span::mixed_site()=> ::core::option::Option::as_deref(&#ident))
            }
            _ => quote_spanned!(Span::mixed_site()=> ::core::option::Option::as_ref(&#ident)),
        },
    }
}
