//! The arguments of a method.

use proc_macro2::Span;
use syn::{Attribute, FnArg, Ident, Pat, PatType, Signature};

use crate::attributes::{Known, Options, Place};
use crate::errors::Errors;
use crate::service::model::{Argument, Named};
use crate::service::{shape, travel};
use crate::spelling::spelled;

const ARGUMENT: Place = Place {
    of: "an argument",
    options: &[
        Known::flag("default"),
        Known::flag("secret"),
        Known::flag("idempotency_key"),
    ],
};

/// Takes the helper attributes off the signature and reads the arguments: the context, if the method asks for it, and
/// those that travel.
pub(super) fn arguments(
    signature: &mut Signature,
    errors: &mut Errors,
) -> (Option<Named>, Vec<Argument>) {
    let mut context = None;
    let mut arguments = Vec::new();
    let typed = signature.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    for (position, argument) in typed.enumerate() {
        let options = Options::take(&mut argument.attrs, &ARGUMENT, errors);
        refuse_condition(&argument.attrs, errors);
        let named = Named {
            ident: argument_name(argument, position, errors),
            ty: (*argument.ty).clone(),
        };
        match shape::context(&argument.ty) {
            None => arguments.push(Argument {
                shape: travel::argument(&argument.ty, errors),
                named,
                default: options.flag("default").cloned(),
                secret: options.flag("secret").cloned(),
                key: options.flag("idempotency_key").cloned(),
            }),
            Some(shape::Mention::Lent) if position == 0 => {
                if let Some(option) = options.any() {
                    errors.at(
                        option,
                        "the context is no data that travels: remove the option",
                    );
                }
                context = Some(named);
            }
            Some(_) => {
                let message = "the context of a call is `ctx: &Context`, directly after `&self`; \
                               a type of your own needs another name here";
                errors.at(&argument.ty, message);
            }
        }
    }
    (context, arguments)
}

fn refuse_condition(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            let message =
                "both ends have to agree on the arguments: put the condition on the method";
            errors.at(attribute, message);
        }
    }
}

/// The argument's name, or a stand-in after a mistake, so that the rest of the method is looked at all the same.
fn argument_name(argument: &PatType, position: usize, errors: &mut Errors) -> Ident {
    match &*argument.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            if let Some(word) = &pattern.mutability {
                let message = format!(
                    "`mut` is up to the implementation: write `{}` here",
                    pattern.ident
                );
                errors.at(word, message);
            }
            pattern.ident.clone()
        }
        pattern => {
            let ty = spelled(&argument.ty);
            let message =
                format!("an argument's name is a field's name on the wire: write `name: {ty}`");
            errors.at(pattern, message);
            Ident::new(&format!("unnamed{position}"), Span::call_site())
        }
    }
}
