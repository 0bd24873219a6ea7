//! What can travel: the types that arguments and results may have, as far as tokens tell.

use syn::visit::{self, Visit};
use syn::{
    Lifetime, PathSegment, Type, TypeFnPtr, TypeImplTrait, TypePtr, TypeReference, TypeTraitObject,
};

use super::model::{Reply, Shape};
use super::shape::{self, bare, is_str, last_segment};
use crate::errors::Errors;
use crate::spelling::spelled;

const NO_STREAMS: &str =
    "streaming methods are not part of this version: return a `Vec`, or page the result";

/// The shape of an argument; mistakes inside of it are reported.
pub(super) fn argument(ty: &Type, errors: &mut Errors) -> Shape {
    let shape = shape::of(ty);
    if let Some(data) = shape.data() {
        Check {
            errors,
            end: End::Argument,
        }
        .visit_type(data);
    }
    if let Shape::Owned(owned) = &shape
        && (is_str(owned) || matches!(bare(owned), Type::Slice(_)))
    {
        let message = format!("`{0}` has no size of its own: write `&{0}`", spelled(owned));
        errors.at(owned, message);
    }
    shape
}

/// What a method returns; mistakes inside of it are reported.
pub(super) fn reply(ty: &Type, errors: &mut Errors) -> Reply {
    if is_no_result(ty) {
        let message = format!(
            "a call can fail on its way, whatever it does: write `-> Result<{}>`",
            owned_spelling(ty)
        );
        errors.at(ty, message);
    } else {
        Check {
            errors,
            end: End::Result,
        }
        .visit_type(ty);
    }
    Reply {
        ty: ty.clone(),
        parts: shape::parts_of_result(ty),
    }
}

/// Types that plainly are no `Result`. Anything else may be an alias, which only the compiler can see through.
fn is_no_result(ty: &Type) -> bool {
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

/// The owned form of a borrowed type, to propose it.
fn owned_spelling(ty: &Type) -> String {
    match bare(ty) {
        Type::Reference(reference) => match bare(&reference.elem) {
            elem if is_str(elem) => "String".to_owned(),
            Type::Slice(slice) => format!("Vec<{}>", owned_spelling(&slice.elem)),
            elem => owned_spelling(elem),
        },
        ty => spelled(ty),
    }
}

/// Which end of a call a type stands at.
#[derive(PartialEq)]
enum End {
    Argument,
    Result,
}

/// Walks a type and refuses what cannot travel, once for each place.
struct Check<'a> {
    errors: &'a mut Errors,
    end: End,
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_type_reference(&mut self, reference: &'ast TypeReference) {
        if let Type::TraitObject(object) = bare(&reference.elem) {
            return self.visit_type_trait_object(object);
        }
        let written = spelled(reference);
        let owned = owned_spelling(&Type::Reference(reference.clone()));
        let message = match (
            &self.end,
            reference.mutability.is_some(),
            &reference.lifetime,
        ) {
            (End::Result, ..) => format!(
                "a result crosses the network and cannot borrow: write `{owned}` instead of `{written}`"
            ),
            (End::Argument, true, _) => {
                "a service cannot change its caller's data: take `&`, and return what changed"
                    .to_owned()
            }
            (End::Argument, false, Some(lifetime)) => {
                format!(
                    "an argument lives as long as the call, so there is no lifetime to name: remove `{lifetime}`"
                )
            }
            (End::Argument, false, None) => {
                format!(
                    "a borrow inside of another type cannot be decoded: write `{owned}` instead of `{written}`"
                )
            }
        };
        self.errors.at(reference, message);
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        // `Cow<'static, str>` as a result is owned data.
        if self.end == End::Argument || lifetime.ident != "static" {
            let message = format!(
                "what crosses the network owns its data: use a type without `{lifetime}`, such as `String`"
            );
            self.errors.at(lifetime, message);
        }
    }

    fn visit_type_trait_object(&mut self, object: &'ast TypeTraitObject) {
        self.errors.at(
            object,
            "a `dyn` value cannot be decoded: name a type, or an enum of the alternatives",
        );
    }

    fn visit_type_impl_trait(&mut self, implementation: &'ast TypeImplTrait) {
        let message = match self.end {
            _ if spelled(implementation).contains("Stream") => NO_STREAMS,
            End::Argument => {
                "an `impl` type has no name under which the server could decode it: name a type"
            }
            End::Result => {
                "a method answers with a type that both sides know: write `async fn … -> Result<…>`"
            }
        };
        self.errors.at(implementation, message);
    }

    fn visit_type_ptr(&mut self, pointer: &'ast TypePtr) {
        self.errors.at(
            pointer,
            "a pointer means nothing in another process: send the data itself",
        );
    }

    fn visit_type_fn_ptr(&mut self, pointer: &'ast TypeFnPtr) {
        self.errors.at(
            pointer,
            "a function cannot travel: send data, and call the function on the side that has it",
        );
    }

    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        if segment.ident == "Self" {
            self.errors.at(
                segment,
                "`Self` is the implementation, which stays in the server: name a type",
            );
        } else if segment.ident == "Streaming" {
            self.errors.at(segment, NO_STREAMS);
        } else {
            visit::visit_path_segment(self, segment);
        }
    }
}
