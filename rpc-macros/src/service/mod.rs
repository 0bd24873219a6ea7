//! `#[rpc_service]`: a trait becomes a client, a server and an entry of the registry.

mod expand;
mod model;
mod parse;
mod repeated;
mod shape;
mod travel;
mod validate;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{Attribute, FnArg, Item, ItemTrait, TraitItem};

use crate::errors::Errors;
use model::Service;

/// The attribute, from tokens to tokens.
pub(crate) fn rpc_service(arguments: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let contract = match syn::parse2(item.clone()) {
        Ok(Item::Trait(contract)) => contract,
        Ok(_) => {
            // The attribute is what has to move.
            let message = "`#[rpc_service]` goes on a `trait`: its methods are what can be called";
            errors.push(syn::Error::new(Span::call_site(), message));
            return with_errors(&errors, item);
        }
        Err(error) => {
            errors.push(error);
            return with_errors(&errors, item);
        }
    };
    let service = read(arguments, contract.clone(), &mut errors);
    if errors.is_empty() {
        expand::service(&service)
    } else {
        with_errors(&errors, fallback(contract))
    }
}

/// Parses and validates in one walk, so that the mistakes come out in source order.
pub(crate) fn read(arguments: TokenStream, contract: ItemTrait, errors: &mut Errors) -> Service {
    let mut service = parse::head(arguments, &contract, errors);
    validate::head(&service, errors);
    parse::modifiers(&contract, errors);
    let mut methods = validate::Methods::default();
    for item in contract.items {
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

/// The trait without our attributes, for the developer's editor and for whatever else the compiler has to say.
fn fallback(mut contract: ItemTrait) -> ItemTrait {
    let strip = |attributes: &mut Vec<Attribute>| {
        attributes.retain(|attribute| !repeated::is_option(attribute));
    };
    strip(&mut contract.attrs);
    for item in &mut contract.items {
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
    contract
}
