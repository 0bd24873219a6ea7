//! Tokens → model. Refuses what the model has no room for; rules *between* the parts are in `validate`.

mod arguments;
mod head;
mod method;

pub(super) use head::{head, modifiers};
pub(super) use method::method;

use syn::{Ident, LitStr};

use super::model::Chosen;

/// The name that the developer wrote, or the one that follows from an identifier.
fn chosen(written: Option<&LitStr>, ident: &Ident, otherwise: impl FnOnce() -> String) -> Chosen {
    match written {
        Some(written) => Chosen {
            text: written.value(),
            span: written.span(),
        },
        None => Chosen {
            text: otherwise(),
            span: ident.span(),
        },
    }
}
