//! `#[rpc_service]`: generates a client, a server and a registry entry from a trait.

mod argument_form;
mod expand;
mod forwarded_attrs;
mod http_paths;
mod implementation;
mod model;
mod parse;
mod validate;
mod wire_types;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, FnArg, Item, ItemTrait, TraitItem};

use crate::errors::Errors;
use model::Service;

/// Expands the attribute.
pub(crate) fn rpc_service(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let trait_item = match syn::parse2(item.clone()) {
        Ok(Item::Trait(trait_item)) => trait_item,
        Ok(Item::Impl(item)) => return implementation::implementation(arguments, item),
        Ok(Item::Struct(item)) if implementation::misplaced_automock(&item.ident).is_some() => {
            // The implementation of the mock has the error.
            return quote!();
        }
        Ok(_) => {
            // The error points to the attribute, which is what has to move.
            let message =
                "`#[rpc_service]` requires a trait: move it to the `trait` of the service";
            errors.push(syn::Error::new(Span::call_site(), message));
            return with_errors(&errors, item);
        }
        Err(error) => {
            errors.push(error);
            return with_errors(&errors, item);
        }
    };
    let service = read(arguments, trait_item.clone(), &mut errors);
    if errors.is_empty() {
        expand::service(&service)
    } else {
        with_errors(&errors, fallback(trait_item))
    }
}

/// Parses and validates in one pass, which keeps the errors in source order.
pub(crate) fn read(arguments: TokenStream, trait_item: ItemTrait, errors: &mut Errors) -> Service {
    let mut service = parse::head(arguments, &trait_item, errors);
    validate::head(&service, errors);
    parse::modifiers(&trait_item, errors);
    let mut methods = validate::Methods::default();
    for item in trait_item.items {
        if let Some(method) = parse::method(item, service.message, errors) {
            methods.check(&method, &service, errors);
            service.methods.push(method);
        }
    }
    service
}

fn with_errors(errors: &Errors, item: impl ToTokens) -> TokenStream {
    let errors = errors.to_compile_errors();
    quote!(#errors #item)
}

/// Returns the trait without `#[rpc(…)]`, which is emitted with the errors so that editors and the
/// compiler still see it.
fn fallback(mut trait_item: ItemTrait) -> ItemTrait {
    let strip = |attributes: &mut Vec<Attribute>| {
        attributes.retain(|attribute| !forwarded_attrs::is_option(attribute));
    };
    strip(&mut trait_item.attrs);
    for item in &mut trait_item.items {
        let TraitItem::Fn(method) = item else {
            continue;
        };
        strip(&mut method.attrs);
        for argument in &mut method.sig.inputs {
            if let FnArg::Typed(argument) = argument {
                strip(&mut argument.attrs);
            }
        }
    }
    trait_item
}
