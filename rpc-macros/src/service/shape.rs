//! How an argument is written, and so lent: the tokens of types, without a judgement on them.

use syn::{GenericArgument, PathArguments, PathSegment, Type, TypeReference};

use super::model::Shape;

/// How a type mentions the context of a call, if it does.
pub(super) enum Mention {
    /// `&Context`
    Lent,
    /// `Context`, `&mut Context`, `&'a Context`, `Option<&Context>`
    Otherwise,
}

/// Whether the argument is the context of the call rather than data.
pub(super) fn context(ty: &Type) -> Option<Mention> {
    let (lent, inner) = match bare(ty) {
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
    named.then_some(if lent {
        Mention::Lent
    } else {
        Mention::Otherwise
    })
}

// === shapes ===

impl Shape {
    /// The type in the developer's words that has to be data; `str` needs no check.
    pub(super) fn data(&self) -> Option<&Type> {
        match self {
            Self::Owned(ty) | Self::Ref(ty) | Self::Slice(ty) => Some(ty),
            Self::Maybe(inner) => inner.data(),
            Self::Str => None,
        }
    }
}

/// The shape that the tokens say, whether it can travel or not.
pub(super) fn of(ty: &Type) -> Shape {
    if let Some(shape) = shape_of_reference(ty) {
        return shape;
    }
    match option_of(bare(ty)).and_then(shape_of_reference) {
        Some(inner) => Shape::Maybe(Box::new(inner)),
        None => Shape::Owned(ty.clone()),
    }
}

fn shape_of_reference(ty: &Type) -> Option<Shape> {
    let Type::Reference(reference) = bare(ty) else {
        return None;
    };
    if !is_plain(reference) {
        return None;
    }
    Some(match bare(&reference.elem) {
        elem if is_str(elem) => Shape::Str,
        Type::Slice(slice) => Shape::Slice((*slice.elem).clone()),
        elem => Shape::Ref(elem.clone()),
    })
}

/// `&T`, neither `&'a T` nor `&mut T`.
fn is_plain(reference: &TypeReference) -> bool {
    reference.lifetime.is_none() && reference.mutability.is_none()
}

pub(super) fn is_str(ty: &Type) -> bool {
    matches!(bare(ty), Type::Path(path) if path.qself.is_none() && path.path.is_ident("str"))
}

/// The `T` of `Option<T>`.
fn option_of(ty: &Type) -> Option<&Type> {
    match arguments_of(ty, "Option")?.as_slice() {
        [inner] => Some(inner),
        _ => None,
    }
}

/// The types of the value and the error, where the tokens say `Result<T, E>`.
pub(super) fn parts_of_result(ty: &Type) -> Option<(Type, Type)> {
    match arguments_of(bare(ty), "Result")?.as_slice() {
        [ok, err] => Some(((*ok).clone(), (*err).clone())),
        _ => None,
    }
}

/// The type arguments of a path that ends in `name<…>`.
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

/// `Record` in `crate::api::Record`.
pub(super) fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

/// The type without parentheses, and without the invisible ones that a `$ty:ty` of `macro_rules!` brings.
pub(super) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}
