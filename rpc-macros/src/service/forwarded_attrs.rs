//! Selects the attributes of a trait or a method that are copied to the generated items.

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, Token, parse_quote};

/// Returns the `#[cfg]`s, which apply to everything that is generated for an item.
pub(super) fn cfg_attrs(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| meta.path().is_ident("cfg"))
}

/// Returns the attributes of a trait's method that its client method gets: documentation,
/// `#[deprecated]` and `#[cfg]`.
pub(super) fn of_method(attributes: &[Attribute]) -> Vec<Attribute> {
    select(attributes, |meta| {
        ["cfg", "deprecated", "doc"]
            .iter()
            .any(|name| meta.path().is_ident(name))
    })
}

/// Returns the attributes of a trait that its client and server get: `#[cfg]`, `#[deprecated]` and
/// `#[doc(…)]`. Their doc comments are generated.
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

/// Returns an `#[rpc(…)]` inside a `#[cfg_attr]`. It is rejected because a macro cannot evaluate
/// the condition.
pub(super) fn conditional_option(attributes: &[Attribute]) -> Option<&Attribute> {
    attributes
        .iter()
        .find(|attribute| is_option(attribute) && !attribute.path().is_ident("rpc"))
}

/// Returns whether the attribute contains `rpc`, which the compiler does not know.
pub(super) fn is_option(attribute: &Attribute) -> bool {
    part(&attribute.meta, |meta| meta.path().is_ident("rpc")).is_some()
}

/// Returns the doc comment as plain text.
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
                // `#[doc = include_str!(…)]`: a macro cannot expand it.
                _ => None,
            }
        });
    // Removes the space between `///` and the text.
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Returns the attributes for which `wanted` is true; a `#[cfg_attr]` keeps only those of its
/// attributes.
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
