//! Checks the rules between the variants of an error. `parse` rejects what the model cannot
//! represent.

use std::collections::HashMap;

use super::model::{ErrorEnum, Reason, Variant, VariantKind};
use crate::errors::Errors;
use crate::names;
use crate::token_text::token_text;

pub(super) fn error_enum(error: &ErrorEnum, errors: &mut Errors) {
    let mut reasons = HashMap::new();
    let mut sources = HashMap::new();
    let mut other = None;
    for Variant { ident, kind, .. } in &error.variants {
        if let VariantKind::Own { reason, .. } | VariantKind::From { reason, .. } = kind {
            check_reason(reason, errors);
            if let Some(earlier) = reasons.insert(&reason.text, ident) {
                let message = format!(
                    r#"`{ident}` and `{earlier}` have the same reason `{}`: write another `#[rpc(reason = "…")]`"#,
                    reason.text,
                );
                errors.push(syn::Error::new(reason.span, message));
            }
        }
        match kind {
            VariantKind::From { field, .. } => {
                if let Some(earlier) = sources.insert(token_text(&field.ty), ident) {
                    let message = format!(
                        "`{earlier}` is already converted from this error: remove one of them"
                    );
                    errors.at(&field.ty, message);
                }
            }
            VariantKind::Other { .. } => {
                if let Some(earlier) = other.replace(ident) {
                    let message =
                        format!("`{earlier}` already has `#[rpc(other)]`: remove one of them");
                    errors.at(ident, message);
                }
            }
            VariantKind::Own { .. } => {}
        }
    }
    if !error.mentions_other {
        let message = "missing variant for errors that are not in the enum, such as those of the network: \
                       add `#[rpc(other)] Other(rpc_runtime::Error)`";
        errors.at(&error.ident, message);
    }
}

fn check_reason(reason: &Reason, errors: &mut Errors) {
    if !names::is_reason(&reason.text) {
        let message = format!(
            r#"invalid reason `{}`: write `reason = "…"` with at most 63 of `A`-`Z`, `0`-`9` and `_`, starting with a letter"#,
            reason.text,
        );
        errors.push(syn::Error::new(reason.span, message));
    }
}
