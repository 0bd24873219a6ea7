//! The rules between the variants of an error. What the model cannot even hold, `parse` has refused.

use std::collections::HashMap;

use super::model::{ErrorEnum, Kind, Reason, Variant};
use crate::errors::Errors;
use crate::names;
use crate::spelling::spelled;

pub(super) fn error_enum(error: &ErrorEnum, errors: &mut Errors) {
    let mut reasons = HashMap::new();
    let mut sources = HashMap::new();
    let mut other = None;
    for Variant { ident, kind, .. } in &error.variants {
        if let Kind::Own { reason, .. } | Kind::From { reason, .. } = kind {
            check_reason(reason, errors);
            if let Some(earlier) = reasons.insert(&reason.text, ident) {
                let message = format!(
                    r#"`{ident}` and `{earlier}` are both `{}` on the wire: write another `#[rpc(reason = "…")]`"#,
                    reason.text,
                );
                errors.push(syn::Error::new(reason.span, message));
            }
        }
        match kind {
            Kind::From { field, .. } => {
                if let Some(earlier) = sources.insert(spelled(&field.ty), ident) {
                    let message =
                        format!("`{earlier}` is made from this error already: keep one of the two");
                    errors.at(&field.ty, message);
                }
            }
            Kind::Other { .. } => {
                if let Some(earlier) = other.replace(ident) {
                    let message = format!(
                        "`{earlier}` is the variant for everything else already: keep one of the two"
                    );
                    errors.at(ident, message);
                }
            }
            Kind::Own { .. } => {}
        }
    }
    if !error.mentions_other {
        let message = "a call can fail in ways that this enum does not know: \
                       add a variant `#[rpc(other)] Other(rpc_runtime::Error)`";
        errors.at(&error.ident, message);
    }
}

fn check_reason(reason: &Reason, errors: &mut Errors) {
    if !names::is_reason(&reason.text) {
        let message = format!(
            r#"`{}` is no reason: write `reason = "…"` with at most 63 of `A`-`Z`, `0`-`9` and `_`, a letter first"#,
            reason.text,
        );
        errors.push(syn::Error::new(reason.span, message));
    }
}
