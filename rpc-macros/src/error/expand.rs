//! Model → tokens: names, types and single calls into the runtime, under the same rules as those of a service.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Member, Type};

use super::model::{ErrorEnum, Field, Form, Kind, Variant};

pub(super) fn error_enum(error: &ErrorEnum) -> TokenStream {
    let ErrorEnum {
        ident, variants, ..
    } = error;
    let codes = variants.iter().map(code);
    let into_error = variants.iter().map(into_error);
    let from_error = variants.iter().filter_map(from_error);
    let conversions = conversions(error);
    let other = error.other().map(|(other, field)| {
        let whole = quote_spanned!(site(&field.ty)=> <::rpc_runtime::Error as ::core::clone::Clone>::clone(error));
        with(other, [(field, whole)])
    });
    quote_spanned! {Span::mixed_site()=>
        // A deprecated variant still travels, and an enum with no variant but `other` has nothing to look for.
        #[allow(deprecated, unreachable_code)]
        const _: () = {
            use ::rpc_runtime::__private as __rpc;
            // The probes' answer for types without the trait that is asked for.
            #[allow(unused_imports)]
            use ::rpc_runtime::__private::Otherwise as _;

            #[automatically_derived]
            impl ::rpc_runtime::RpcError for #ident {
                fn code(&self) -> ::rpc_runtime::Code {
                    match self { #(#codes)* }
                }

                fn into_error(self) -> ::rpc_runtime::Error {
                    let text = __rpc::Probe(&self).text();
                    match self { #(#into_error)* }
                }

                fn from_error(error: &::rpc_runtime::Error) -> Self {
                    let known = || -> ::core::option::Option<Self> {
                        let payload = __rpc::Payload::of(error)?;
                        ::core::option::Option::Some(match payload.reason() {
                            #(#from_error)*
                            _ => return ::core::option::Option::None,
                        })
                    };
                    known().unwrap_or_else(|| #other)
                }
            }

            #conversions
        };
    }
}

// === the three methods, an arm for each variant ===

fn code(variant: &Variant) -> TokenStream {
    let (pattern, code) = match &variant.kind {
        Kind::Own { code, .. } => (ignoring(variant), code.clone()),
        Kind::From { field, .. } => (
            around(variant, field),
            quote_spanned!(site(&field.ty)=> ::rpc_runtime::RpcError::code(inner)),
        ),
        // By its type, so that a field of another type is reported as just that.
        Kind::Other { field, .. } => (
            around(variant, field),
            quote_spanned!(site(&field.ty)=> ::rpc_runtime::Error::code(inner)),
        ),
    };
    quote_spanned!(Span::mixed_site()=> #pattern => #code,)
}

fn into_error(variant: &Variant) -> TokenStream {
    match &variant.kind {
        Kind::Own {
            code,
            reason,
            public,
            fields,
        } => {
            let pattern = bind(variant, fields);
            let reason = &reason.text;
            let public = public.then(|| quote_spanned!(Span::mixed_site()=> .public()));
            let fields = fields.iter().map(sent);
            quote_spanned! {Span::mixed_site()=>
                #pattern => __rpc::TypedError::new(#code, #reason, __rpc::text_or(text, #reason))
                    #public #(#fields)* .finish(),
            }
        }
        Kind::From { reason, field } => {
            let (pattern, reason) = (around(variant, field), &reason.text);
            quote_spanned! {site(&field.ty)=>
                #pattern => __rpc::pass_on(#reason, ::rpc_runtime::RpcError::into_error(inner)),
            }
        }
        Kind::Other { field, .. } => {
            let pattern = around(variant, field);
            quote_spanned!(site(&field.ty)=> #pattern => inner,)
        }
    }
}

/// A field on its way out; one that stays at home becomes the private source, if it can be one.
fn sent(field: &Field) -> TokenStream {
    let Field { name, ty, skip, .. } = field;
    let site = site(ty);
    let mut binding = field.binding();
    binding.set_span(binding.span().located_at(site));
    match skip {
        Some(_) => quote_spanned!(site=> .source(__rpc::Probe(#binding).into_source())),
        None => quote_spanned!(site=> .field(#name, &#binding)),
    }
}

fn from_error(variant: &Variant) -> Option<TokenStream> {
    let (reason, value) = match &variant.kind {
        Kind::Own { reason, fields, .. } => {
            let values = fields.iter().map(|field| (field, received(field)));
            (&reason.text, with(variant, values))
        }
        Kind::From { reason, field } => {
            let value = quote_spanned!(site(&field.ty)=> ::rpc_runtime::RpcError::from_error(&payload.inner(error)));
            (&reason.text, with(variant, [(field, value)]))
        }
        Kind::Other { .. } => return None,
    };
    Some(quote_spanned!(Span::mixed_site()=> #reason => #value,))
}

/// A field out of what came; a variant whose fields cannot all be had again is not built.
fn received(field: &Field) -> TokenStream {
    let Field { name, ty, skip, .. } = field;
    match skip {
        Some(_) => quote_spanned!(site(ty)=> __rpc::Probe::<#ty>::value()?),
        None => quote_spanned!(site(ty)=> payload.field::<#ty>(#name)?),
    }
}

// === conversions, for `?` ===

fn conversions(error: &ErrorEnum) -> Option<TokenStream> {
    let ident = &error.ident;
    let (other, field) = error.other()?;
    let attempts = error.variants.iter().filter_map(attempt);
    let rest = quote_spanned!(site(&field.ty)=> <::rpc_runtime::Error as ::core::convert::From<_>>::from(remote));
    let rest = with(other, [(field, rest)]);
    let from_error = matches!(
        other.kind,
        Kind::Other {
            converts: false,
            ..
        }
    )
    .then(|| {
        let whole = with(other, [(field, quote_spanned!(site(&field.ty)=> error))]);
        quote_spanned! {Span::mixed_site()=>
            #[automatically_derived]
            impl ::core::convert::From<::rpc_runtime::Error> for #ident {
                fn from(error: ::rpc_runtime::Error) -> Self {
                    #whole
                }
            }
        }
    });
    Some(quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl<__E: ::rpc_runtime::RpcError> ::core::convert::From<::rpc_runtime::Remote<__E>> for #ident {
            #[track_caller]
            fn from(remote: ::rpc_runtime::Remote<__E>) -> Self {
                #(#attempts)*
                #rest
            }
        }

        #from_error
    })
}

/// Whether it is the error of this dependency.
fn attempt(variant: &Variant) -> Option<TokenStream> {
    let Kind::From { field, .. } = &variant.kind else {
        return None;
    };
    let ty = &field.ty;
    let taken = around(variant, field);
    let take = quote_spanned!(site(ty)=> remote.take::<#ty>());
    Some(quote_spanned! {Span::mixed_site()=>
        let remote = match #take {
            ::core::result::Result::Ok(inner) => return #taken,
            ::core::result::Result::Err(remote) => remote,
        };
    })
}

// === patterns and values ===

/// The variant with any content.
fn ignoring(Variant { ident, form, .. }: &Variant) -> TokenStream {
    match form {
        Form::Named => quote_spanned!(Span::mixed_site()=> Self::#ident { .. }),
        Form::Tuple => quote_spanned!(Span::mixed_site()=> Self::#ident(..)),
        Form::Unit => quote_spanned!(Span::mixed_site()=> Self::#ident),
    }
}

/// The variant around `inner`.
fn around(variant: &Variant, field: &Field) -> TokenStream {
    with(variant, [(field, quote_spanned!(site(&field.ty)=> inner))])
}

/// The variant with its fields bound to variables.
fn bind(variant: &Variant, fields: &[Field]) -> TokenStream {
    let bindings = fields.iter().map(Field::binding);
    match (variant.form, &variant.ident) {
        // The shorthand, which a lint asks for.
        (Form::Named, ident) => {
            quote_spanned!(Span::mixed_site()=> Self::#ident { #(#bindings),* })
        }
        _ => with(
            variant,
            fields.iter().zip(bindings.map(ToTokens::into_token_stream)),
        ),
    }
}

/// The variant with these fields.
fn with<'a>(
    Variant { ident, form, .. }: &Variant,
    fields: impl IntoIterator<Item = (&'a Field, TokenStream)>,
) -> TokenStream {
    let (members, values): (Vec<&Member>, Vec<TokenStream>) = fields
        .into_iter()
        .map(|(field, value)| (&field.member, value))
        .unzip();
    match form {
        Form::Named => quote_spanned!(Span::mixed_site()=> Self::#ident { #(#members: #values),* }),
        Form::Tuple => quote_spanned!(Span::mixed_site()=> Self::#ident(#(#values),*)),
        Form::Unit => quote_spanned!(Span::mixed_site()=> Self::#ident),
    }
}

/// The place of a developer's type, for tokens of ours: errors about the type point at the type.
fn site(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}
