//! An error enum as the expansion sees it: plain data, every decision taken.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Member, Type};

/// An enum with `#[derive(RpcError)]`.
pub(super) struct ErrorEnum {
    pub(super) ident: Ident,
    pub(super) variants: Vec<Variant>,
    /// Whether a variant says `#[rpc(other)]`, be it right or not.
    pub(super) mentions_other: bool,
}

impl ErrorEnum {
    /// The variant for what no other one says, with its field. Validation sees to it that there is one.
    pub(super) fn other(&self) -> Option<(&Variant, &Field)> {
        self.variants
            .iter()
            .find_map(|variant| match &variant.kind {
                Kind::Other { field, .. } => Some((variant, field)),
                _ => None,
            })
    }
}

/// A variant of the enum.
pub(super) struct Variant {
    pub(super) ident: Ident,
    pub(super) form: Form,
    pub(super) kind: Kind,
}

/// How a variant is written.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// `Name { … }`
    Named,
    /// `Name(…)`
    Tuple,
    /// `Name`
    Unit,
}

/// What a variant is for.
pub(super) enum Kind {
    /// An error of the service itself.
    Own {
        code: TokenStream,
        reason: Reason,
        public: bool,
        fields: Vec<Field>,
    },
    /// `#[rpc(from)]`: a dependency's error, passed on.
    From { reason: Reason, field: Field },
    /// `#[rpc(other)]`: everything else. `converts` says that another derive writes the conversion already.
    Other { field: Field, converts: bool },
}

/// The variant's name on the wire.
pub(super) struct Reason {
    pub(super) text: String,
    /// What to point at when it will not do.
    pub(super) span: Span,
}

/// A field of a variant.
pub(super) struct Field {
    /// The field in Rust, `user` or `0`.
    pub(super) member: Member,
    /// The field on the wire.
    pub(super) name: String,
    pub(super) ty: Type,
    /// `#[rpc(skip)]`: stays at home.
    pub(super) skip: Option<Ident>,
}

impl Field {
    /// The variable that the field is bound to in a pattern.
    pub(super) fn binding(&self) -> Ident {
        match &self.member {
            Member::Named(ident) => ident.clone(),
            Member::Unnamed(index) => {
                Ident::new(&format!("field{}", index.index), Span::mixed_site())
            }
        }
    }
}
