//! Parses the arguments of a method.

use proc_macro2::Span;
use syn::{Attribute, FnArg, Ident, Pat, PatType, Signature};

use crate::errors::Errors;
use crate::options::{OptionSet, OptionSpec, ParsedOptions, ValueKind};
use crate::service::model::{Argument, Parameter};
use crate::service::{argument_form, wire_types};
use crate::token_text::token_text;

const ARGUMENT: OptionSet = OptionSet {
    target: "an argument",
    options: &[
        OptionSpec::with("default", "default = 20", ValueKind::OptionalExpr),
        OptionSpec::flag("secret"),
        OptionSpec::with(
            "idempotency_key",
            "idempotency_key",
            ValueKind::Word("shared"),
        ),
    ],
};

/// Parses the parameters of a signature into the context, if there is one, and the arguments.
/// Removes `#[rpc(…)]` from the signature.
pub(super) fn arguments(
    signature: &mut Signature,
    errors: &mut Errors,
) -> (Option<Parameter>, Vec<Argument>) {
    let mut context = None;
    let mut arguments = Vec::new();
    let typed = signature.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    for (position, argument) in typed.enumerate() {
        let options = ParsedOptions::take(&mut argument.attrs, &ARGUMENT, errors);
        refuse_condition(&argument.attrs, errors);
        let parameter = Parameter {
            ident: argument_name(argument, position, errors),
            ty: (*argument.ty).clone(),
        };
        match argument_form::context(&argument.ty) {
            None => arguments.push(Argument {
                form: wire_types::argument(&argument.ty, errors),
                parameter,
                default: options.key("default").cloned(),
                default_value: options.expr("default").cloned(),
                secret: options.flag("secret").cloned(),
                key: options.flag("idempotency_key").cloned(),
                key_is_shared: options.has_word("idempotency_key"),
            }),
            Some(argument_form::ContextMention::Borrowed) if position == 0 => {
                if let Some(option) = options.first() {
                    errors.at(option, "the context takes no options: remove the option");
                }
                context = Some(parameter);
            }
            Some(_) => {
                let message = "the context must be `ctx: &Context` directly after `&self`; \
                               if this is another type, rename it or use an alias";
                errors.at(&argument.ty, message);
            }
        }
    }
    (context, arguments)
}

fn refuse_condition(attributes: &[Attribute], errors: &mut Errors) {
    for attribute in attributes {
        if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
            let message = "an argument cannot be conditional: put the `#[cfg]` on the method";
            errors.at(attribute, message);
        }
    }
}

/// Returns the argument's name, or a placeholder after an error, which lets the rest of the method
/// be checked.
fn argument_name(argument: &PatType, position: usize, errors: &mut Errors) -> Ident {
    match &*argument.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => {
            if let Some(mutability) = &pattern.mutability {
                let message = format!(
                    "`mut` belongs to the implementation: write `{}`",
                    pattern.ident
                );
                errors.at(mutability, message);
            }
            pattern.ident.clone()
        }
        pattern => {
            let ty = token_text(&argument.ty);
            let message = format!(
                "an argument must have a name, which is its field name in JSON: write `name: {ty}`"
            );
            errors.at(pattern, message);
            Ident::new(&format!("unnamed{position}"), Span::call_site())
        }
    }
}
