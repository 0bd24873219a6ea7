//! The server's side: an implementation of the trait, with a route for each method.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::{site, site_of_type};
use crate::names;
use crate::service::model::{Argument, Method, Named, Service, Shape};

pub(super) fn definition(service: &Service) -> TokenStream {
    let Service {
        repeated,
        visibility,
        server,
        implementation,
        ..
    } = service;
    let docs = format!(
        "Serves an implementation of [`{0}`]: `Server::new(\"name\").add({1}::new(implementation))`.",
        names::plain(&service.ident),
        service.server,
    );
    quote_spanned! {Span::mixed_site()=>
        #[doc = #docs]
        #(#repeated)*
        #visibility struct #server<#implementation>(::rpc_runtime::__private::Arc<#implementation>);
    }
}

pub(super) fn impls(service: &Service) -> TokenStream {
    let Service {
        ident,
        visibility,
        server,
        implementation,
        ..
    } = service;
    let name = server.to_string();
    let routes = service.methods.iter().map(|method| route(method, service));
    let new = "Takes the implementation; clones of the server share it.";
    let into_router = "The service as an axum router, to mount it beside routes of your own.\n\n# Errors\n\nWhen two linked services have one full name.";
    quote_spanned! {Span::mixed_site()=>
        impl<#implementation: #ident> #server<#implementation> {
            #[doc = #new]
            #visibility fn new(service: #implementation) -> Self {
                Self(__rpc::Arc::new(service))
            }

            #[doc = #into_router]
            #visibility fn into_router(self) -> ::rpc_runtime::Result<__rpc::Router> {
                __rpc::into_router(self)
            }
        }

        // By hand, since a derive would ask for `Clone` and `Debug` of the implementation.
        impl<#implementation> ::core::clone::Clone for #server<#implementation> {
            fn clone(&self) -> Self {
                Self(__rpc::Arc::clone(&self.0))
            }
        }

        impl<#implementation> ::core::fmt::Debug for #server<#implementation> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(#name)
            }
        }

        impl<#implementation: #ident> __rpc::Service for #server<#implementation> {
            fn descriptor(&self) -> &'static __rpc::ServiceDescriptor {
                &__SERVICE
            }

            fn into_routes(self) -> __rpc::Routes {
                let routes = __rpc::RouteBuilder::new(&__SERVICE, self.0);
                #(#routes)*
                routes.build()
            }
        }
    }
}

fn route(method: &Method, service: &Service) -> TokenStream {
    let Method { gates, handle, .. } = method;
    let Service {
        ident,
        implementation,
        ..
    } = service;
    let name = method.ident();
    let arguments = method
        .arguments
        .iter()
        .map(|argument| &argument.named.ident);
    let passed = method.arguments.iter().map(passed);
    let (context, lent_context) = match &method.context {
        // Spanned by the developer's type, to point there should it be another `Context` than ours.
        Some(Named { ty, .. }) => {
            let site = site_of_type(ty);
            (
                quote_spanned!(Span::mixed_site()=> context),
                quote_spanned!(site=> &context,),
            )
        }
        None => (quote_spanned!(Span::mixed_site()=> _), TokenStream::new()),
    };
    quote_spanned! {site(method)=>
        #(#gates)*
        let routes = routes.add(&#handle, |service, #context, (#(#arguments,)*)| async move {
            <#implementation as #ident>::#name(&service, #lent_context #(#passed),*).await
        });
    }
}

/// What the method gets of the decoded data, which the future owns.
fn passed(argument: &Argument) -> TokenStream {
    let ident = &argument.named.ident;
    match &argument.shape {
        Shape::Owned(_) => quote_spanned!(Span::mixed_site()=> #ident),
        Shape::Ref(_) | Shape::Str | Shape::Slice(_) => {
            quote_spanned!(Span::mixed_site()=> &#ident)
        }
        Shape::Maybe(inner) => match **inner {
            Shape::Str | Shape::Slice(_) => {
                quote_spanned!(Span::mixed_site()=> ::core::option::Option::as_deref(&#ident))
            }
            _ => quote_spanned!(Span::mixed_site()=> ::core::option::Option::as_ref(&#ident)),
        },
    }
}
