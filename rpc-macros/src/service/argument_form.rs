//! Classifies argument types by their tokens, without validating them.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeReference};

use super::model::ArgumentForm;

/// The way in which a type mentions the context of a call.
pub(super) enum ContextMention {
    /// `&Context`
    Borrowed,
    /// `Context`, `&mut Context`, `&'a Context`, `Option<&Context>`
    Misplaced,
}

/// Returns how the type mentions `Context`; `None` for data.
pub(super) fn context(ty: &Type) -> Option<ContextMention> {
    let (borrowed, inner) = match bare(ty) {
        Type::Reference(reference) => (is_plain(reference), bare(&reference.elem)),
        other => (
            false,
            option_of(other).map_or(other, |inner| match bare(inner) {
                Type::Reference(reference) => bare(&reference.elem),
                inner => inner,
            }),
        ),
    };
    let segment = last_segment(inner)?;
    let named = segment.ident == "Context" && segment.arguments.is_none();
    named.then_some(if borrowed {
        ContextMention::Borrowed
    } else {
        ContextMention::Misplaced
    })
}

// === forms ===

impl ArgumentForm {
    /// Returns the part of the type that must be serializable data; `None` for `str`, which is.
    pub(super) fn data(&self) -> Option<&Type> {
        match self {
            Self::Owned(ty) | Self::Ref(ty) | Self::Slice(ty) => Some(ty),
            Self::Optional(inner) => inner.data(),
            // Its messages are checked instead.
            Self::Str | Self::Stream(_) => None,
        }
    }
}

/// Returns the form of a type, whether or not it can be sent.
pub(super) fn of(ty: &Type) -> ArgumentForm {
    if let Some(form) = form_of_reference(ty) {
        return form;
    }
    if stream(ty).is_some() {
        return ArgumentForm::Stream(ty.clone());
    }
    match option_of(bare(ty)).and_then(form_of_reference) {
        Some(inner) => ArgumentForm::Optional(Box::new(inner)),
        None => ArgumentForm::Owned(ty.clone()),
    }
}

fn form_of_reference(ty: &Type) -> Option<ArgumentForm> {
    let Type::Reference(reference) = bare(ty) else {
        return None;
    };
    if !is_plain(reference) {
        return None;
    }
    Some(match bare(&reference.elem) {
        elem if is_str(elem) => ArgumentForm::Str,
        Type::Slice(slice) => ArgumentForm::Slice((*slice.elem).clone()),
        elem => ArgumentForm::Ref(elem.clone()),
    })
}

/// Returns whether the reference is `&T`, not `&'a T` or `&mut T`.
fn is_plain(reference: &TypeReference) -> bool {
    reference.lifetime.is_none() && reference.mutability.is_none()
}

pub(super) fn is_str(ty: &Type) -> bool {
    matches!(bare(ty), Type::Path(path) if path.qself.is_none() && path.path.is_ident("str"))
}

/// Returns the `T` of `Option<T>`.
fn option_of(ty: &Type) -> Option<&Type> {
    match arguments_of(ty, "Option")?.as_slice() {
        [inner] => Some(inner),
        _ => None,
    }
}

/// Returns `T` and `E` of a type that is written as `Result<T, E>`.
pub(super) fn parts_of_result(ty: &Type) -> Option<(Type, Type)> {
    match arguments_of(bare(ty), "Result")?.as_slice() {
        [ok, err] => Some(((*ok).clone(), (*err).clone())),
        _ => None,
    }
}

/// Returns the type arguments of a type that is written as `Streaming<…>`.
pub(super) fn stream(ty: &Type) -> Option<Vec<&Type>> {
    arguments_of(bare(ty), "Streaming")
}

/// Returns the `Streaming<…>` of a type such as `Result<Streaming<…>, E>` or that of an alias, and
/// the other type arguments.
pub(super) fn stream_of_result(ty: &Type) -> Option<(&Type, Vec<&Type>)> {
    let name = last_segment(bare(ty))?.ident.to_string();
    let mut arguments = arguments_of(bare(ty), &name)?.into_iter();
    let first = arguments.next().filter(|first| stream(first).is_some())?;
    Some((first, arguments.collect()))
}

/// Returns the type arguments of a path that ends in `name<…>`.
fn arguments_of<'a>(ty: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let segment = last_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    let types = arguments.args.iter().map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    if segment.ident == name {
        types.collect()
    } else {
        None
    }
}

/// Returns the last segment of a path, such as `Record` in `crate::api::Record`.
pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// Returns the type without parentheses and without the invisible groups of `macro_rules!`
/// fragments.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}
