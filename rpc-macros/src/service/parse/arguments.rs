//! The arguments of a method.

use syn::{Attribute, FnArg, Ident, Pat, PatType, Signature};

use crate::attributes::{Known, Options, Place};
use crate::errors::Errors;
use crate::service::model::{Argument, Named};
use crate::service::{shape, travel};
use crate::spelling::spelled;

const ARGUMENT: Place = Place {
    of: "an argument",
    options: &[Known::flag("default"), Known::flag("secret")],
};

/// Takes the helper attributes off the signature and reads the arguments.
pub(super) fn arguments(
    signature: &mut Signature,
    errors: &mut Errors,
) -> (Option<Named>, Option<Vec<Argument>>) {
    let mut context = None;
    let mut arguments = Some(Vec::new());
    let typed = signature.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    for (position, argument) in typed.enumerate() {
        let options = Options::take(&mut argument.attrs, &ARGUMENT, errors);
        refuse_condition(&argument.attrs, errors);
        let ident = argument_name(argument, errors);
        match shape::context(&argument.ty) {
            None => {
                let read =
                    travel::argument(&argument.ty, errors)
                        .zip(ident)
                        .map(|(shape, ident)| Argument {
                            named: Named {
                                ident,
                                ty: (*argument.ty).clone(),
                            },
                            shape,
                            default: options.flag("default").cloned(),
                            secret: options.flag("secret").cloned(),
                        });
                // One that cannot be read leaves no list to check.
                arguments = arguments.zip(read).map(|(mut all, read)| {
                    all.push(read);
                    all
                });
            }
            Some(shape::Mention::Lent) if position == 0 => {
                if let Some(option) = options.flag("default").or(options.flag("secret")) {
                    errors.at(
                        option,
                        "the context is no data that travels: remove the option",
                    );
                }
                context = ident.map(|ident| Named {
                    ident,
                    ty: (*argument.ty).clone(),
                });
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

fn argument_name(argument: &PatType, errors: &mut Errors) -> Option<Ident> {
    match &*argument.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            let Some(word) = &pattern.mutability else {
                return Some(pattern.ident.clone());
            };
            let message = format!(
                "`mut` is up to the implementation: write `{}` here",
                pattern.ident
            );
            errors.at(word, message);
        }
        pattern => {
            let message = format!(
                "an argument's name is a field's name on the wire: write `name: {}`",
                spelled(&argument.ty)
            );
            errors.at(pattern, message);
        }
    }
    None
}
