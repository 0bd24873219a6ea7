//! Tokens → model. Rejects what the model cannot represent; `validate` checks rules between the
//! parts.

mod arguments;
mod head;
mod method;

pub(super) use head::{head, modifiers};
pub(super) use method::method;

use syn::{Ident, LitStr};

use super::model::SpannedName;

/// Returns the name that the developer wrote, or a default with the span of an identifier.
fn name_or_default(
    written: Option<&LitStr>,
    ident: &Ident,
    default: impl FnOnce() -> String,
) -> SpannedName {
    match written {
        Some(written) => SpannedName {
            text: written.value(),
            span: written.span(),
        },
        None => SpannedName {
            text: default(),
            span: ident.span(),
        },
    }
}
