//! The trait, without its items.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{AttrStyle, ItemTrait, LitStr, TypeParamBound};

use super::chosen;
use crate::attributes::{Known, Options, Place, Takes};
use crate::errors::Errors;
use crate::names;
use crate::service::model::{Chosen, Service};
use crate::service::repeated;

const SERVICE: Place = Place {
    of: "a service",
    options: &[
        Known::with("package", r#"package = "shop.v1""#, Takes::Text),
        Known::with("name", r#"name = "Pricing""#, Takes::Text),
        Known::with("endpoint", r#"endpoint = "pricing""#, Takes::Text),
        Known::with("ping", "ping = false", Takes::Switch),
        Known::flag("message"),
    ],
};

/// Supertraits that every client has as well. With any other the client cannot implement the trait.
const OF_EVERY_CLIENT: [&str; 5] = ["Send", "Sync", "Sized", "Clone", "Debug"];

/// Everything about the trait but its items.
pub(crate) fn head(arguments: TokenStream, contract: &ItemTrait, errors: &mut Errors) -> Service {
    let mut options = Options::default();
    options.read(arguments, &SERVICE, errors);

    let ident = contract.ident.clone();
    let plain = names::plain(&ident);
    let mut attributes = contract.attrs.clone();
    // `#![…]` inside of the braces means the trait too, and has to stand before it when it is printed anew.
    attributes
        .iter_mut()
        .for_each(|attribute| attribute.style = AttrStyle::Outer);
    Service {
        repeated: repeated::of_trait(&attributes),
        gates: repeated::gates(&attributes),
        docs: repeated::docs(&attributes),
        attributes,
        visibility: generated(&contract.vis),
        written_visibility: contract.vis.clone(),
        client_implements: contract.supertraits.iter().all(is_of_every_client),
        supertraits: contract.supertraits.clone(),
        client: names::client(&ident),
        server: names::server(&ident),
        implementation: names::implementation(&ident),
        package: package(options.text("package"), errors),
        name: chosen(options.text("name"), &ident, || plain.clone()),
        endpoint: chosen(options.text("endpoint"), &ident, || {
            names::lower_snake(&plain)
        }),
        ping: options.switch("ping").unwrap_or(true),
        message: options.flag("message").is_some(),
        methods: Vec::new(),
        ident,
    }
}

/// Refuses what a trait may have and a service may not.
pub(crate) fn modifiers(contract: &ItemTrait, errors: &mut Errors) {
    for option in contract
        .attrs
        .iter()
        .filter(|attribute| repeated::is_option(attribute))
    {
        errors.at(
            option,
            "the options of a service stand in its attribute: write `#[rpc_service(…)]`",
        );
    }
    if let Some(unsafety) = &contract.unsafety {
        errors.at(
            unsafety,
            "a service promises nothing that the compiler cannot check: remove `unsafe`",
        );
    }
    if let Some(auto) = &contract.modifiers.auto_token {
        errors.at(auto, "a service is implemented by hand: remove `auto`");
    }
    if !contract.generics.params.is_empty() {
        let message = "a service cannot be generic, since its callers could not say for which type: write concrete types";
        errors.at(&contract.generics, message);
    }
    if let Some(clause) = &contract.generics.where_clause {
        errors.at(
            clause,
            "a service takes no `where` clause: write bounds as supertraits, `trait Name: Bound`",
        );
    }
}

/// The package, by default the name of the crate that is being compiled.
fn package(written: Option<&LitStr>, errors: &mut Errors) -> Chosen {
    if let Some(written) = written {
        return Chosen {
            text: written.value(),
            span: written.span(),
        };
    }
    let span = Span::call_site();
    match std::env::var("CARGO_PKG_NAME") {
        Ok(name) => Chosen {
            text: names::package_of_crate(&name),
            span,
        },
        Err(_) => {
            let message =
                r#"the crate has no name to take the package from: write `package = "…"`"#;
            errors.push(syn::Error::new(span, message));
            Chosen {
                text: "unknown".to_owned(),
                span,
            }
        }
    }
}

/// The developer's tokens as ours. Lints look at where an item begins, and would blame the developer for all of it.
fn generated(tokens: &impl ToTokens) -> TokenStream {
    let tokens = tokens.to_token_stream().into_iter().map(|mut token| {
        token.set_span(token.span().resolved_at(Span::mixed_site()));
        token
    });
    tokens.collect()
}

fn is_of_every_client(bound: &TypeParamBound) -> bool {
    match bound {
        TypeParamBound::Trait(bound) => {
            let last = bound.path.segments.last();
            last.is_some_and(|last| OF_EVERY_CLIENT.iter().any(|name| last.ident == name))
        }
        TypeParamBound::Lifetime(_) => true,
        _ => false,
    }
}
