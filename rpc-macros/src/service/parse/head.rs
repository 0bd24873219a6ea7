//! Parses the attribute and the head of the trait.

use proc_macro2::{Span, TokenStream};
use syn::{AttrStyle, ItemTrait, LitStr, TypeParamBound};

use super::name_or_default;
use crate::errors::Errors;
use crate::names;
use crate::options::{OptionSet, OptionSpec, ParsedOptions, ValueKind};
use crate::runtime_path::{self, generated, runtime_path};
use crate::service::forwarded_attrs;
use crate::service::model::{Service, SpannedName};

const SERVICE: OptionSet = OptionSet {
    target: "a service",
    options: &[
        OptionSpec::with("package", r#"package = "shop.v1""#, ValueKind::Str),
        OptionSpec::with("name", r#"name = "Pricing""#, ValueKind::Str),
        OptionSpec::with("endpoint", r#"endpoint = "pricing""#, ValueKind::Str),
        OptionSpec::with("ping", "ping = false", ValueKind::Bool),
        OptionSpec::flag("message"),
        runtime_path::OPTION,
    ],
};

/// The supertraits that every generated client implements. With any other supertrait, the client
/// does not implement the service trait.
const CLIENT_TRAITS: [&str; 5] = ["Send", "Sync", "Sized", "Clone", "Debug"];

/// Returns the service without its methods.
pub(crate) fn head(arguments: TokenStream, trait_item: &ItemTrait, errors: &mut Errors) -> Service {
    let mut options = ParsedOptions::default();
    options.parse(arguments, &SERVICE, errors);

    let ident = trait_item.ident.clone();
    let plain = names::unraw(&ident);
    let mut attributes = trait_item.attrs.clone();
    // An inner attribute `#![…]` of the trait is emitted as an outer attribute.
    attributes
        .iter_mut()
        .for_each(|attribute| attribute.style = AttrStyle::Outer);
    Service {
        runtime: runtime_path(&options, errors),
        forwarded_attrs: forwarded_attrs::of_trait(&attributes),
        cfg_attrs: forwarded_attrs::cfg_attrs(&attributes),
        docs: forwarded_attrs::docs(&attributes),
        attributes,
        visibility: generated(&trait_item.vis),
        written_visibility: trait_item.vis.clone(),
        delegates: trait_item.supertraits.iter().all(is_client_trait),
        supertraits: trait_item.supertraits.clone(),
        client: names::client(&ident),
        server: names::server(&ident),
        impl_param: names::impl_param(&ident),
        package: package(options.str("package"), errors),
        name: name_or_default(options.str("name"), &ident, || plain.clone()),
        endpoint: name_or_default(options.str("endpoint"), &ident, || {
            names::lower_snake(&plain)
        }),
        ping: options.bool("ping").unwrap_or(true),
        message: options.flag("message").is_some(),
        methods: Vec::new(),
        ident,
    }
}

/// Rejects what a trait may have and a service may not.
pub(crate) fn modifiers(trait_item: &ItemTrait, errors: &mut Errors) {
    for option in trait_item
        .attrs
        .iter()
        .filter(|attribute| forwarded_attrs::is_option(attribute))
    {
        errors.at(
            option,
            "the options of a service belong in its attribute: write `#[rpc_service(…)]`",
        );
    }
    if let Some(unsafety) = &trait_item.unsafety {
        errors.at(
            unsafety,
            "a service trait cannot be unsafe: remove `unsafe`",
        );
    }
    if let Some(auto) = &trait_item.modifiers.auto_token {
        errors.at(
            auto,
            "a service trait cannot be an auto trait: remove `auto`",
        );
    }
    if !trait_item.generics.params.is_empty() {
        let message = "a service trait cannot be generic: use concrete types";
        errors.at(&trait_item.generics, message);
    }
    if let Some(clause) = &trait_item.generics.where_clause {
        errors.at(
            clause,
            "a service trait cannot have a `where` clause: write supertraits, as in `trait Name: Bound`",
        );
    }
}

/// Returns the package. The default is the name of the crate that is being compiled.
fn package(written: Option<&LitStr>, errors: &mut Errors) -> SpannedName {
    if let Some(written) = written {
        return SpannedName {
            text: written.value(),
            span: written.span(),
        };
    }
    let span = Span::call_site();
    match std::env::var("CARGO_PKG_NAME") {
        Ok(name) => SpannedName {
            text: names::package_of_crate(&name),
            span,
        },
        Err(_) => {
            let message = r#"no default for the package, since `CARGO_PKG_NAME` is not set: write `package = "…"`"#;
            errors.push(syn::Error::new(span, message));
            SpannedName {
                text: "unknown".to_owned(),
                span,
            }
        }
    }
}

fn is_client_trait(bound: &TypeParamBound) -> bool {
    match bound {
        TypeParamBound::Trait(bound) => {
            let last = bound.path.segments.last();
            last.is_some_and(|last| CLIENT_TRAITS.iter().any(|name| last.ident == name))
        }
        TypeParamBound::Lifetime(_) => true,
        _ => false,
    }
}
