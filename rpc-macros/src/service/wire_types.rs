//! Rejects argument and result types that cannot be sent, as far as tokens show.

use syn::visit::{self, Visit};
use syn::{
    Lifetime, PathSegment, Type, TypeFnPtr, TypeImplTrait, TypePtr, TypeReference, TypeTraitObject,
};

use super::argument_form::{self, bare, is_str, last_segment};
use super::model::{ArgumentForm, Reply};
use crate::errors::Errors;
use crate::token_text::token_text;

const IMPL_STREAM: &str = "a stream has a named type: write `Streaming<T>`";

const INNER_STREAM: &str =
    "a stream must be the whole argument, or the whole value of the `Result`";

/// Returns the form of an argument type, after validating the type.
pub(super) fn argument(ty: &Type, errors: &mut Errors) -> ArgumentForm {
    let form = argument_form::of(ty);
    let streamed = argument_form::stream(ty).unwrap_or_default();
    for data in form.data().into_iter().chain(streamed) {
        Check {
            errors,
            position: Position::Argument,
        }
        .visit_type(data);
    }
    if let ArgumentForm::Owned(owned) = &form
        && (is_str(owned) || matches!(bare(owned), Type::Slice(_)))
    {
        let message = format!("`{0}` is not a sized type: write `&{0}`", token_text(owned));
        errors.at(owned, message);
    }
    form
}

/// Returns the reply of a method, after validating its type.
pub(super) fn reply(ty: &Type, errors: &mut Errors) -> Reply {
    if is_not_a_result(ty) {
        let message = format!(
            "a method must return a `Result`, since every call can fail: write `-> Result<{}>`",
            owned_text(ty)
        );
        errors.at(ty, message);
    } else {
        let stream = argument_form::stream_of_result(ty);
        let checked = match &stream {
            Some((stream, others)) => {
                let messages = argument_form::stream(stream).unwrap_or_default();
                messages.into_iter().chain(others.iter().copied()).collect()
            }
            None => vec![ty],
        };
        for ty in checked {
            Check {
                errors,
                position: Position::Result,
            }
            .visit_type(ty);
        }
    }
    let stream = argument_form::stream_of_result(ty);
    let stream = stream.and_then(|(stream, _)| last_segment(bare(stream)));
    Reply {
        ty: ty.clone(),
        parts: argument_form::parts_of_result(ty),
        stream: stream.map(|segment| segment.ident.clone()),
    }
}

/// Returns whether a type is certainly not a `Result`. Any other type may be an alias of one, which
/// only the compiler can resolve.
fn is_not_a_result(ty: &Type) -> bool {
    const VALUES: [&str; 24] = [
        "bool", "char", "str", "String", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16",
        "i32", "i64", "i128", "isize", "f32", "f64", "Option", "Vec", "Box", "HashMap", "BTreeMap",
        "Bytes",
    ];
    match bare(ty) {
        Type::Tuple(_) | Type::Array(_) | Type::Slice(_) | Type::Reference(_) => true,
        ty => last_segment(ty).is_some_and(|last| VALUES.iter().any(|value| last.ident == value)),
    }
}

/// Returns the owned form of a borrowed type, for suggestions.
fn owned_text(ty: &Type) -> String {
    match bare(ty) {
        Type::Reference(reference) => match bare(&reference.elem) {
            elem if is_str(elem) => "String".to_owned(),
            Type::Slice(slice) => format!("Vec<{}>", owned_text(&slice.elem)),
            elem => owned_text(elem),
        },
        ty => token_text(ty),
    }
}

/// The position of a type in the signature.
#[derive(PartialEq)]
enum Position {
    Argument,
    Result,
}

/// A visitor that reports each part of a type that cannot be sent.
struct Check<'a> {
    errors: &'a mut Errors,
    position: Position,
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if let Type::TraitObject(object) = bare(&reference.elem) {
            return self.visit_type_trait_object(object);
        }
        let written = token_text(reference);
        let owned = owned_text(&Type::Reference(reference.clone()));
        let message = match (
            &self.position,
            reference.mutability.is_some(),
            &reference.lifetime,
        ) {
            (Position::Result, ..) => format!(
                "a result cannot borrow, since it is sent over the network: write `{owned}` instead of `{written}`"
            ),
            (Position::Argument, true, _) => {
                "an argument cannot be `&mut`, since it is sent over the network: take `&`, and return the changed value"
                    .to_owned()
            }
            (Position::Argument, false, Some(lifetime)) => {
                format!(
                    "an argument cannot have a named lifetime: remove `{lifetime}`"
                )
            }
            (Position::Argument, false, None) => {
                format!(
                    "a reference inside another type cannot be decoded: write `{owned}` instead of `{written}`"
                )
            }
        };
        self.errors.at(reference, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        // A result may be `Cow<'static, str>`, which is decoded as owned data.
        if self.position == Position::Argument || lifetime.ident != "static" {
            let message = format!(
                "an argument or result must own its data: use a type without `{lifetime}`, such as `String`"
            );
            self.errors.at(lifetime, message);
        }
    }

    fn visit_type_trait_object(&mut self, object: &'ast TypeTraitObject) {
        self.errors.at(
            object,
            "a `dyn` type cannot be decoded: use a concrete type, such as an enum",
        );
    }

    fn visit_type_impl_trait(&mut self, implementation: &'ast TypeImplTrait) {
        let message = match self.position {
            _ if token_text(implementation).contains("Stream") => IMPL_STREAM,
            Position::Argument => "an `impl` type cannot be decoded: use a concrete type",
            Position::Result => {
                "a method cannot return an `impl` type: write `async fn … -> Result<…>`"
            }
        };
        self.errors.at(implementation, message);
    }

    fn visit_type_ptr(&mut self, pointer: &'ast TypePtr) {
        self.errors.at(
            pointer,
            "a pointer cannot be sent to another process: use the type that it points to",
        );
    }

    fn visit_type_fn_ptr(&mut self, pointer: &'ast TypeFnPtr) {
        self.errors.at(
            pointer,
            "a function pointer cannot be sent to another process: use data, such as an enum of the functions",
        );
    }

    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        if segment.ident == "Self" {
            self.errors.at(
                segment,
                "`Self`, the implementation, cannot be sent: use a concrete type",
            );
        } else if segment.ident == "Streaming" {
            self.errors.at(segment, INNER_STREAM);
        } else {
            visit::visit_path_segment(self, segment);
        }
    }
}
