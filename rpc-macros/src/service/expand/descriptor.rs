//! Expands the descriptors of the service and its methods, and the registry entry.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Expr, Lit, spanned::Spanned};

use super::{method_span, type_span};
use crate::names;
use crate::service::model::{Argument, ArgumentForm, Effects, Method, Reply, Service};
use crate::token_text::token_text;

/// Expands a static for each method: its descriptor and the codecs of its arguments and reply.
pub(super) fn methods(service: &Service) -> TokenStream {
    service
        .methods
        .iter()
        .map(|method| method_static(method, service))
        .collect()
}

/// Expands a constant for each method: its full name, for policies, rate limits and layers.
pub(super) fn full_names(service: &Service) -> TokenStream {
    let Service { visibility, .. } = service;
    let constants = service.methods.iter().filter_map(|method| {
        let constant = names::constant(method.ident())?;
        let cfg_attrs = &method.cfg_attrs;
        let full_name = service.path(&method.wire_name.text).split_off(1);
        let docs = format!("The full name of the method: `{full_name}`.");
        Some(quote_spanned! {method_span(method)=>
            #[doc = #docs]
            #(#cfg_attrs)*
            #visibility const #constant: &'static str = #full_name;
        })
    });
    constants.collect()
}

/// Expands the static of the service, and its registration.
pub(super) fn service(service: &Service) -> TokenStream {
    let full_name = service.full_name();
    let (package, name, endpoint) = (
        &service.package.text,
        &service.name.text,
        &service.endpoint.text,
    );
    let docs = docs(&service.docs);
    let methods = service.methods.iter().map(
        |Method {
             cfg_attrs,
             method_static,
             ..
         }| {
            quote_spanned!(Span::mixed_site()=> #(#cfg_attrs)* *#method_static.descriptor(),)
        },
    );
    let ping = service.ping.then(|| {
        let path = service.path("Ping");
        quote_spanned!(Span::mixed_site()=> __rpc::ping_descriptor(#full_name, #path))
    });
    quote_spanned! {Span::mixed_site()=>
        // A separate static, since a temporary inside `__SERVICE` does not live long enough.
        static __METHODS: &[__rpc::MethodDescriptor] = &[#(#methods)* #ping];

        static __SERVICE: __rpc::ServiceDescriptor =
            __rpc::ServiceDescriptor::new(#full_name, #package, #name, #endpoint)
                #docs
                .source(::core::env!("CARGO_PKG_VERSION"), ::core::module_path!())
                .methods(__METHODS);

        __rpc::register! { __SERVICE }
    }
}

fn method_static(method: &Method, service: &Service) -> TokenStream {
    let Method {
        cfg_attrs,
        method_static,
        arguments,
        reply,
        ..
    } = method;
    let forms: Vec<TokenStream> = arguments
        .iter()
        .map(|argument| form(&argument.form, type_span(&argument.parameter.ty)))
        .collect();
    let (ok, err) = parts(reply);
    let descriptor = descriptor(method, service);
    let codecs = arguments
        .iter()
        .zip(&forms)
        .map(|(argument, form)| codec(method, argument, form));
    let reply_codec = match (&method.reply.stream, method.message) {
        (Some(_), _) => "stream_reply",
        (None, true) => "message_reply",
        (None, false) => "reply",
    };
    let ty = &reply.ty;
    let reply_codec = Ident::new(reply_codec, type_span(ty));
    let reply_codec = quote_spanned!(type_span(ty)=> __rpc::#reply_codec::<#ty>());
    let (form, codec) = match method.request_stream() {
        Some((_, stream)) => (
            quote_spanned!(type_span(stream)=> __rpc::StreamOf<#stream>),
            quote_spanned!(type_span(stream)=> __rpc::stream_argument::<#stream>()),
        ),
        None => (
            quote_spanned!(method_span(method)=> (#(#forms,)*)),
            quote_spanned!(method_span(method)=> (#(#codecs)*)),
        ),
    };
    quote_spanned! {method_span(method)=>
        #(#cfg_attrs)*
        static #method_static: __rpc::Method<#form, #ok, #err> =
            __rpc::method(#descriptor, #codec, #reply_codec);
    }
}

fn descriptor(method: &Method, service: &Service) -> TokenStream {
    let full_name = service.full_name();
    let name = names::unraw(method.ident());
    let wire_name = &method.wire_name.text;
    let path = service.path(wire_name);
    let docs = docs(&method.docs);
    let arguments = arguments(method);
    let returns = token_text(&method.reply.ty);
    let options = options(method);
    quote_spanned! {Span::mixed_site()=>
        __rpc::MethodDescriptor::new(#full_name, #name, #wire_name, #path) #docs #arguments .returns(#returns) #options
    }
}

fn docs(docs: &str) -> Option<TokenStream> {
    (!docs.is_empty()).then(|| quote_spanned!(Span::mixed_site()=> .docs(#docs)))
}

fn arguments(method: &Method) -> Option<TokenStream> {
    let arguments = method.arguments.iter().map(|Argument { parameter, default, secret, .. }| {
        let (name, ty) = (names::unraw(&parameter.ident), token_text(&parameter.ty));
        let default = default.as_ref().map(|_| quote_spanned!(Span::mixed_site()=> .or_default()));
        let secret = secret.as_ref().map(|_| quote_spanned!(Span::mixed_site()=> .secret()));
        quote_spanned!(Span::mixed_site()=> __rpc::ArgumentDescriptor::new(#name, #ty) #default #secret)
    });
    (!method.arguments.is_empty())
        .then(|| quote_spanned!(Span::mixed_site()=> .arguments(&[#(#arguments),*])))
}

fn options(method: &Method) -> TokenStream {
    let mut options = TokenStream::new();
    match method.effects {
        Effects::Unknown => {}
        Effects::Idempotent(_) => {
            options.extend(quote_spanned!(Span::mixed_site()=> .idempotent()));
        }
        Effects::None(_) => options.extend(quote_spanned!(Span::mixed_site()=> .no_side_effects())),
    }
    if let Some(key) = method.key() {
        let name = names::unraw(&key.parameter.ident);
        options.extend(quote_spanned!(Span::mixed_site()=> .idempotency_key(#name)));
        if key.key_is_shared {
            options.extend(quote_spanned!(Span::mixed_site()=> .shared_key()));
        }
    }
    if let Some(timeout) = &method.timeout {
        let milliseconds = proc_macro2::Literal::u64_unsuffixed(timeout.milliseconds);
        options.extend(quote_spanned!(Span::mixed_site()=> .timeout_ms(#milliseconds)));
    }
    if let Some(path) = &method.get {
        let path = path.value();
        options.extend(quote_spanned!(Span::mixed_site()=> .http_get(#path)));
    }
    if let Some(path) = &method.post {
        let path = path.value();
        options.extend(quote_spanned!(Span::mixed_site()=> .http_post(#path)));
    }
    if method.bare.is_some() {
        options.extend(quote_spanned!(Span::mixed_site()=> .http_bare()));
    }
    if method.message {
        options.extend(quote_spanned!(Span::mixed_site()=> .message_style()));
    }
    if method.request_stream().is_some() {
        options.extend(quote_spanned!(Span::mixed_site()=> .client_streaming()));
    }
    if method.reply.stream.is_some() {
        options.extend(quote_spanned!(Span::mixed_site()=> .server_streaming()));
    }
    if method.detached.is_some() {
        options.extend(quote_spanned!(Span::mixed_site()=> .detached()));
    }
    if method.deprecated {
        options.extend(quote_spanned!(Span::mixed_site()=> .deprecated()));
    }
    options
}

/// Expands the call that creates the codec of an argument. The runtime's function has the bounds on
/// the argument's type.
fn codec(method: &Method, argument: &Argument, form: &TokenStream) -> TokenStream {
    let site = type_span(&argument.parameter.ty);
    match (&argument.form, method.message) {
        (ArgumentForm::Owned(ty) | ArgumentForm::Ref(ty), true) => {
            quote_spanned!(site=> __rpc::message::<#ty>(),)
        }
        _ if argument.key.is_some() => {
            quote_spanned!(site=> __rpc::idempotency_key::<#form>(),)
        }
        _ if argument.default.is_some() => match &argument.default_value {
            Some(value) => {
                let value = default_value(value, &argument.form);
                quote_spanned!(site=> __rpc::argument_or::<#form>(|| ::core::option::Option::Some(#value)),)
            }
            None => quote_spanned!(site=> __rpc::argument_or_default::<#form>(),),
        },
        _ => quote_spanned!(site=> __rpc::argument::<#form>(),),
    }
}

/// Expands a default value: the expression, with its tokens as written, so that the compiler points
/// to one of another type. A string literal becomes the `String` that the server decodes.
fn default_value(value: &Expr, form: &ArgumentForm) -> TokenStream {
    let is_text = matches!(value, Expr::Lit(literal) if matches!(literal.lit, Lit::Str(_)));
    let value = if is_text {
        quote_spanned!(value.span()=> ::core::convert::From::from(#value))
    } else {
        value.to_token_stream()
    };
    match form {
        // `default = "en"` for an `Option<&str>`, which can also be `default = Some(…)`.
        ArgumentForm::Optional(_) if is_text => {
            quote_spanned!(Span::mixed_site()=> ::core::option::Option::Some(#value))
        }
        _ => value,
    }
}

/// Returns the runtime's marker type for how an argument is declared, such as `__rpc::Str` for
/// `&str` and `__rpc::Slice<T>` for `&[T]`.
fn form(form: &ArgumentForm, site: Span) -> TokenStream {
    match form {
        ArgumentForm::Owned(ty) | ArgumentForm::Ref(ty) => {
            quote_spanned!(type_span(ty)=> __rpc::Owned<#ty>)
        }
        ArgumentForm::Slice(ty) => quote_spanned!(type_span(ty)=> __rpc::Slice<#ty>),
        // Of the whole method, see `method_static`.
        ArgumentForm::Stream(_) => TokenStream::new(),
        ArgumentForm::Str => quote_spanned!(site=> __rpc::Str),
        ArgumentForm::Optional(inner) => {
            let inner = self::form(inner, site);
            quote_spanned!(site=> __rpc::Optional<#inner>)
        }
    }
}

/// Returns the types of the value and the error: as written, or by a projection if the return type
/// is an alias, which only the compiler can resolve.
pub(super) fn parts(reply: &Reply) -> (TokenStream, TokenStream) {
    let ty = &reply.ty;
    match &reply.parts {
        Some((ok, err)) => (
            quote_spanned!(type_span(ok)=> #ok),
            quote_spanned!(type_span(err)=> #err),
        ),
        None => (
            quote_spanned!(type_span(ty)=> <#ty as __rpc::RpcResult>::Ok),
            quote_spanned!(type_span(ty)=> <#ty as __rpc::RpcResult>::Err),
        ),
    }
}
