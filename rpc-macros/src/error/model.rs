//! The model of an error enum that the expansion is generated from: plain data.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Member, Type};

/// An enum with `#[derive(RpcError)]`.
pub(super) struct ErrorEnum {
    /// The path of the runtime crate.
    pub(super) runtime: TokenStream,
    pub(super) ident: Ident,
    /// `#[rpc(partial_eq)]`: the derive implements `PartialEq`.
    pub(super) partial_eq: bool,
    pub(super) variants: Vec<Variant>,
    /// Whether a variant has `#[rpc(other)]`, valid or not.
    pub(super) mentions_other: bool,
}

impl ErrorEnum {
    /// Returns the variant `#[rpc(other)]` with its field. After validation there is exactly one.
    pub(super) fn other(&self) -> Option<(&Variant, &Field)> {
        self.variants
            .iter()
            .find_map(|variant| match &variant.kind {
                VariantKind::Other { field, .. } => Some((variant, field)),
                _ => None,
            })
    }
}

/// A variant of the enum.
pub(super) struct Variant {
    pub(super) ident: Ident,
    pub(super) style: VariantStyle,
    pub(super) kind: VariantKind,
}

/// The syntax of a variant.
#[derive(Clone, Copy)]
pub(super) enum VariantStyle {
    /// `Name { … }`
    Struct,
    /// `Name(…)`
    Tuple,
    /// `Name`
    Unit,
}

/// The role of a variant.
pub(super) enum VariantKind {
    /// An error that the service itself returns.
    Own {
        code: TokenStream,
        reason: Reason,
        public: bool,
        /// Whether the variant states that nothing was done.
        not_executed: bool,
        fields: Vec<Field>,
    },
    /// `#[rpc(from)]`: the error of a dependency.
    From {
        reason: Reason,
        /// Whether every caller receives the fields of the inner variants that are public.
        public: bool,
        field: Field,
    },
    /// `#[rpc(other)]`: any other error. `converts` is true if another derive generates the
    /// conversion from the field.
    Other { field: Field, converts: bool },
}

/// The wire name of a variant.
pub(super) struct Reason {
    pub(super) text: String,
    /// The source location for an error about the reason.
    pub(super) span: Span,
}

/// A field of a variant.
pub(super) struct Field {
    /// The field in Rust: `user` or `0`.
    pub(super) member: Member,
    /// The wire name of the field.
    pub(super) name: String,
    pub(super) ty: Type,
    /// `#[rpc(skip)]`: the field is not sent.
    pub(super) skip: Option<Ident>,
}

impl Field {
    /// Returns the variable that a pattern binds the field to.
    pub(super) fn binding(&self) -> Ident {
        match &self.member {
            Member::Named(ident) => {
                let name = crate::names::unraw(ident);
                Ident::new(
                    &format!("__field_{name}"),
                    Span::mixed_site().located_at(ident.span()),
                )
            }
            Member::Unnamed(index) => {
                Ident::new(&format!("__field{}", index.index), Span::mixed_site())
            }
        }
    }
}
