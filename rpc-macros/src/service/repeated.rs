//! Which attributes of a trait or a method the generated items repeat.

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token, parse_quote};

/// The `#[cfg]`s: whatever is generated for an item exists where the item exists.
pub(super) fn gates(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| meta.path().is_ident("cfg"))
}

/// What the client's method has in common with the trait's: documentation, `#[deprecated]` and the gates.
pub(super) fn of_method(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| {
        ["cfg", "deprecated", "doc"]
            .iter()
            .any(|name| meta.path().is_ident(name))
    })
}

/// What client and server have in common with their trait: they get documentation of their own, but `#[doc(hidden)]`
/// holds for them too.
pub(super) fn of_trait(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| {
        let path = meta.path();
        path.is_ident("cfg")
            || path.is_ident("deprecated")
            || (path.is_ident("doc") && matches!(meta, Meta::List(_)))
    })
}

pub(super) fn is_deprecated(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("deprecated"))
}

/// An `#[rpc(…)]` inside of a `#[cfg_attr]`, which we cannot read: the condition is not known yet.
pub(super) fn conditional_option(attributes: &[Attribute]) -> Option<&Attribute> {
    attributes
        .iter()
        .find(|attribute| is_option(attribute) && !attribute.path().is_ident("rpc"))
}

/// Whether the compiler must not see an attribute, since only we know what `rpc` is.
pub(super) fn is_option(attribute: &Attribute) -> bool {
    part(&attribute.meta, |meta| meta.path().is_ident("rpc")).is_some()
}

/// The doc comment as plain text.
pub(super) fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| {
            match &attribute.meta.require_name_value().ok()?.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value()),
                // `#[doc = include_str!(…)]`: only the compiler can read it.
                _ => None,
            }
        });
    // The space between `///` and the text.
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// The attributes that `wanted` holds for; of a `#[cfg_attr]`, the part that it holds for.
fn select(attributes: &[Attribute], wanted: impl Fn(&Meta) -> bool + Copy) -> Vec<Attribute> {
    let selected = attributes.iter().filter_map(|attribute| {
        let meta = part(&attribute.meta, wanted)?;
        Some(Attribute {
            meta,
            ..attribute.clone()
        })
    });
    selected.collect()
}

fn part(meta: &Meta, wanted: impl Fn(&Meta) -> bool + Copy) -> Option<Meta> {
    if !meta.path().is_ident("cfg_attr") {
        return wanted(meta).then(|| meta.clone());
    }
    let inside = meta.require_list().ok()?;
    let inside = inside
        .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
        .ok()?;
    let mut inside = inside.into_iter();
    let condition = inside.next()?.into_token_stream();
    let parts: Vec<Meta> = inside.filter_map(|meta| part(&meta, wanted)).collect();
    (!parts.is_empty()).then(|| parse_quote!(cfg_attr(#condition, #(#parts),*)))
}
