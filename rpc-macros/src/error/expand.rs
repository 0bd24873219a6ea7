//! Model → tokens, by the same rules as the expansion of a service.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Member, Type};

use super::model::{ErrorEnum, Field, Variant, VariantKind, VariantStyle};

pub(super) fn error_enum(error: &ErrorEnum) -> TokenStream {
    let ErrorEnum {
        runtime,
        ident,
        variants,
        ..
    } = error;
    let codes = variants.iter().map(code);
    let into_error = variants.iter().map(into_error);
    let from_error = variants.iter().filter_map(from_error);
    let conversions = conversions(error);
    let partial_eq = error.partial_eq.then(|| partial_eq(error));
    let other = error.other().map(|(other, field)| {
        let whole = quote_spanned!(type_span(&field.ty)=> <__rpc::Error as ::core::clone::Clone>::clone(__error));
        with(other, [(field, whole)])
    });
    let non_snake_case = has_non_snake_variables(variants).then(|| quote!(non_snake_case,));
    quote_spanned! {Span::mixed_site()=>
        // Deprecated variants are matched too, and code after the `match` is unreachable if `other`
        // is the only variant.
        #[allow(deprecated, #non_snake_case unreachable_code)]
        const _: () = {
            use #runtime::__private as __rpc;
            // The fallback of the autoref specialization for types without the trait.
            #[allow(unused_imports)]
            use __rpc::Fallback as _;

            #[automatically_derived]
            impl __rpc::RpcError for #ident {
                fn code(&self) -> __rpc::Code {
                    match self { #(#codes)* }
                }

                fn into_error(self) -> __rpc::Error {
                    let __text = __rpc::Specialize(&self).text();
                    match self { #(#into_error)* }
                }

                fn from_error(__error: &__rpc::Error) -> Self {
                    let __known = || -> ::core::option::Option<Self> {
                        let __payload = __rpc::Payload::of(__error)?;
                        ::core::option::Option::Some(match __payload.reason() {
                            #(#from_error)*
                            _ => return ::core::option::Option::None,
                        })
                    };
                    __known().unwrap_or_else(|| #other)
                }
            }

            #conversions
            #partial_eq
        };
    }
}

/// Expands implementations without content, for an enum with mistakes: its uses would otherwise be
/// reported as further errors. Nothing for an item that cannot have them.
pub(super) fn placeholder(input: &DeriveInput) -> TokenStream {
    let ident = &input.ident;
    let has_options = input.attrs.iter().any(|attr| attr.path().is_ident("rpc"));
    let Data::Enum(data) = &input.data else {
        return TokenStream::new();
    };
    // The path of the runtime may be one of the options with a mistake.
    if has_options || !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let fields = data.variants.iter().flat_map(|variant| &variant.fields);
    let converts = fields
        .flat_map(|field| &field.attrs)
        .any(|attr| attr.path().is_ident("from"));
    let from_error = (!converts).then(|| {
        quote_spanned! {Span::mixed_site()=>
            impl ::core::convert::From<__rpc::Error> for #ident {
                fn from(_: __rpc::Error) -> Self { loop {} }
            }
        }
    });
    quote_spanned! {Span::mixed_site()=>
        const _: () = {
            use ::rpc_runtime::__private as __rpc;
            impl __rpc::RpcError for #ident {
                fn code(&self) -> __rpc::Code { loop {} }
                fn into_error(self) -> __rpc::Error { loop {} }
                fn from_error(_: &__rpc::Error) -> Self { loop {} }
            }
            impl<__E: __rpc::RpcError> ::core::convert::From<__rpc::Remote<__E>> for #ident {
                fn from(_: __rpc::Remote<__E>) -> Self { loop {} }
            }
            #from_error
        };
    }
}

// === the three methods of `RpcError`: a match arm for each variant ===

/// Returns whether the variable of a field, which has its name, is not in snake case. The lint is
/// allowed only then, because a crate may forbid it.
fn has_non_snake_variables(variants: &[Variant]) -> bool {
    let mut names = variants.iter().flat_map(|variant| match &variant.kind {
        VariantKind::Own { fields, .. } => fields.as_slice(),
        VariantKind::From { .. } | VariantKind::Other { .. } => &[],
    });
    names.any(|field| {
        let name = field.binding().to_string();
        let name = name.trim_matches('_');
        name.contains("__") || name.contains(char::is_uppercase)
    })
}

fn code(variant: &Variant) -> TokenStream {
    let (pattern, code) = match &variant.kind {
        VariantKind::Own { code, .. } => (ignoring(variant), code.clone()),
        VariantKind::From { field, .. } => (
            wrapping(variant, field),
            quote_spanned!(type_span(&field.ty)=> __rpc::RpcError::code(__inner)),
        ),
        // Calls the inherent method of the type, so the compiler reports a field of another type.
        VariantKind::Other { field, .. } => (
            wrapping(variant, field),
            quote_spanned!(type_span(&field.ty)=> __rpc::Error::code(__inner)),
        ),
    };
    quote_spanned!(Span::mixed_site()=> #pattern => #code,)
}

fn into_error(variant: &Variant) -> TokenStream {
    match &variant.kind {
        VariantKind::Own {
            code,
            reason,
            public,
            not_executed,
            fields,
        } => {
            let pattern = bind(variant, fields);
            let reason = &reason.text;
            let public = public.then(|| quote_spanned!(Span::mixed_site()=> .public()));
            let not_executed =
                not_executed.then(|| quote_spanned!(Span::mixed_site()=> .not_executed()));
            let fields = fields.iter().map(sent);
            quote_spanned! {Span::mixed_site()=>
                #pattern => __rpc::TypedError::new(#code, #reason, __rpc::text_or(__text, #reason))
                    #public #not_executed #(#fields)* .finish(),
            }
        }
        VariantKind::From {
            reason,
            public,
            field,
        } => {
            let (pattern, reason) = (wrapping(variant, field), &reason.text);
            let function = if *public { "pass_on_public" } else { "pass_on" };
            let function = Ident::new(function, type_span(&field.ty));
            quote_spanned! {type_span(&field.ty)=>
                #pattern => __rpc::#function(#reason, __rpc::RpcError::into_error(__inner)),
            }
        }
        VariantKind::Other { field, .. } => {
            let pattern = wrapping(variant, field);
            quote_spanned!(type_span(&field.ty)=> #pattern => __inner,)
        }
    }
}

/// Expands the encoding of a field. A skipped field becomes the private source, if it is an error.
fn sent(field: &Field) -> TokenStream {
    let Field { name, ty, skip, .. } = field;
    let site = type_span(ty);
    let mut binding = field.binding();
    binding.set_span(binding.span().located_at(site));
    match skip {
        Some(_) => quote_spanned!(site=> .source(__rpc::Specialize(#binding).into_source())),
        None => quote_spanned!(site=> .field(#name, &#binding)),
    }
}

fn from_error(variant: &Variant) -> Option<TokenStream> {
    let (reason, value) = match &variant.kind {
        VariantKind::Own { reason, fields, .. } => {
            let values = fields.iter().map(|field| (field, received(field)));
            (&reason.text, with(variant, values))
        }
        VariantKind::From { reason, field, .. } => {
            let value = quote_spanned!(type_span(&field.ty)=> __rpc::RpcError::from_error(&__payload.inner(__error)));
            (&reason.text, with(variant, [(field, value)]))
        }
        VariantKind::Other { .. } => return None,
    };
    Some(quote_spanned!(Span::mixed_site()=> #reason => #value,))
}

/// Expands the decoding of a field. If a field cannot be decoded, the variant is not built.
fn received(field: &Field) -> TokenStream {
    let Field { name, ty, skip, .. } = field;
    match skip {
        Some(_) => quote_spanned!(type_span(ty)=> __rpc::Specialize::<#ty>::value()?),
        None => quote_spanned!(type_span(ty)=> __payload.field::<#ty>(#name)?),
    }
}

// === conversions, for `?` ===

fn conversions(error: &ErrorEnum) -> Option<TokenStream> {
    let ident = &error.ident;
    let (other, field) = error.other()?;
    let attempts = error.variants.iter().filter_map(attempt);
    let rest = quote_spanned!(type_span(&field.ty)=> <__rpc::Error as ::core::convert::From<_>>::from(__remote));
    let rest = with(other, [(field, rest)]);
    let from_error = matches!(
        other.kind,
        VariantKind::Other {
            converts: false,
            ..
        }
    )
    .then(|| {
        let whole = with(
            other,
            [(field, quote_spanned!(type_span(&field.ty)=> __error))],
        );
        quote_spanned! {Span::mixed_site()=>
            #[automatically_derived]
            impl ::core::convert::From<__rpc::Error> for #ident {
                fn from(__error: __rpc::Error) -> Self {
                    #whole
                }
            }
        }
    });
    Some(quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl<__E: __rpc::RpcError> ::core::convert::From<__rpc::Remote<__E>> for #ident {
            #[track_caller]
            fn from(__remote: __rpc::Remote<__E>) -> Self {
                #(#attempts)*
                #rest
            }
        }

        #from_error
    })
}

/// Expands the attempt to convert a remote error into a `#[rpc(from)]` variant.
fn attempt(variant: &Variant) -> Option<TokenStream> {
    let VariantKind::From { field, .. } = &variant.kind else {
        return None;
    };
    let ty = &field.ty;
    let taken = wrapping(variant, field);
    let take = quote_spanned!(type_span(ty)=> __remote.take::<#ty>());
    Some(quote_spanned! {Span::mixed_site()=>
        let __remote = match #take {
            ::core::result::Result::Ok(__inner) => return #taken,
            ::core::result::Result::Err(__remote) => __remote,
        };
    })
}

// === comparison ===

/// Expands `PartialEq` by variant and by the fields that are sent.
fn partial_eq(error: &ErrorEnum) -> TokenStream {
    let ident = &error.ident;
    let arms = error.variants.iter().map(|variant| {
        let fields: Vec<&Field> = match &variant.kind {
            VariantKind::Own { fields, .. } => fields.iter().collect(),
            VariantKind::From { field, .. } | VariantKind::Other { field, .. } => vec![field],
        };
        let side = |side: &'static str| {
            let fields = fields.iter().enumerate().map(move |(position, field)| {
                let variable = match &field.skip {
                    Some(_) => quote_spanned!(Span::mixed_site()=> _),
                    None => variable(side, position).into_token_stream(),
                };
                (*field, variable)
            });
            with(variant, fields)
        };
        let (left, right) = (side("left"), side("right"));
        let compared = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.skip.is_none());
        let compared = compared.map(|(position, field)| {
            let (left, right) = (variable("left", position), variable("right", position));
            quote_spanned!(type_span(&field.ty)=> && #left == #right)
        });
        quote_spanned!(Span::mixed_site()=> (#left, #right) => true #(#compared)*,)
    });
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl ::core::cmp::PartialEq for #ident {
            fn eq(&self, __other: &Self) -> bool {
                match (self, __other) {
                    #(#arms)*
                    #[allow(unreachable_patterns)]
                    _ => false,
                }
            }
        }
    }
}

fn variable(side: &str, position: usize) -> Ident {
    Ident::new(&format!("__{side}{position}"), Span::mixed_site())
}

// === patterns and values ===

/// Returns a pattern of the variant that ignores its fields.
fn ignoring(Variant { ident, style, .. }: &Variant) -> TokenStream {
    match style {
        VariantStyle::Struct => quote_spanned!(Span::mixed_site()=> Self::#ident { .. }),
        VariantStyle::Tuple => quote_spanned!(Span::mixed_site()=> Self::#ident(..)),
        VariantStyle::Unit => quote_spanned!(Span::mixed_site()=> Self::#ident),
    }
}

/// Returns the variant with `__inner` as its only field.
fn wrapping(variant: &Variant, field: &Field) -> TokenStream {
    with(
        variant,
        [(field, quote_spanned!(type_span(&field.ty)=> __inner))],
    )
}

/// Returns a pattern of the variant that binds its fields to variables.
fn bind(variant: &Variant, fields: &[Field]) -> TokenStream {
    let bindings = fields.iter().map(Field::binding);
    with(
        variant,
        fields.iter().zip(bindings.map(ToTokens::into_token_stream)),
    )
}

/// Returns the variant with the given values of its fields.
fn with<'a>(
    Variant { ident, style, .. }: &Variant,
    fields: impl IntoIterator<Item = (&'a Field, TokenStream)>,
) -> TokenStream {
    let (members, values): (Vec<&Member>, Vec<TokenStream>) = fields
        .into_iter()
        .map(|(field, value)| (&field.member, value))
        .unzip();
    match style {
        VariantStyle::Struct => {
            quote_spanned!(Span::mixed_site()=> Self::#ident { #(#members: #values),* })
        }
        VariantStyle::Tuple => quote_spanned!(Span::mixed_site()=> Self::#ident(#(#values),*)),
        VariantStyle::Unit => quote_spanned!(Span::mixed_site()=> Self::#ident),
    }
}

/// Returns the span for generated tokens about a type: errors then point to the type.
fn type_span(ty: &Type) -> Span {
    Span::mixed_site().located_at(ty.span())
}
