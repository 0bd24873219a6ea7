//! Optional traits of the types in an enum with `#[derive(RpcError)]`.
//!
//! An enum may implement `Display`; a field with `#[rpc(skip)]` may implement `Error` or `Default`.
//! The derive uses the implementation where there is one. This is autoref specialization without
//! the autoref: an inherent function of [`Specialize`] is chosen if its bounds hold, and otherwise
//! the function of the trait [`Fallback`].

use std::any::TypeId;
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A value, or a type, whose traits are optional.
#[derive(Debug)]
#[doc(hidden)]
pub struct Specialize<T>(pub T);

impl<T: Display> Specialize<&T> {
    /// Returns the text of the value's `Display`.
    #[must_use]
    pub fn text(self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Errors, boxed errors and strings.
impl<T: Into<Box<dyn StdError + Send + Sync>>> Specialize<T> {
    /// Returns the value as the private cause of an error.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        Some(self.0.into())
    }
}

impl<T: Default> Specialize<T> {
    /// Returns a value in place of one that is not sent.
    #[must_use]
    pub fn value() -> Option<T> {
        Some(T::default())
    }
}

/// The functions for types without the traits.
#[doc(hidden)]
pub trait Fallback: Sized {
    /// The type in question.
    type Value;

    /// Returns `None`: no `Display`.
    #[must_use]
    fn text(self) -> Option<String> {
        None
    }

    /// Returns `None`: not an error.
    #[must_use]
    fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        None
    }

    /// Returns `None`: no `Default`.
    #[must_use]
    fn value() -> Option<Self::Value> {
        None
    }
}

impl<T> Fallback for Specialize<T> {
    type Value = T;
}

/// Returns a number that identifies the type and the variant of an error in this process.
pub(crate) fn variant_of<E: 'static>(error: &E) -> u64 {
    let mut hasher = DefaultHasher::new();
    (TypeId::of::<E>(), std::mem::discriminant(error)).hash(&mut hasher);
    hasher.finish()
}

/// Returns the text of a variant, by default its reason in lower case.
#[doc(hidden)]
#[must_use]
pub fn text_or(text: Option<String>, reason: &'static str) -> Cow<'static, str> {
    text.unwrap_or_else(|| reason.replace('_', " ").to_lowercase())
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Plain;

    #[test]
    fn implemented_traits_are_used() {
        assert_eq!(Specialize(&7).text().as_deref(), Some("7"));
        assert_eq!(Specialize::<u8>::value(), Some(0));
        let source = Specialize(std::io::Error::other("disk")).into_source();
        assert_eq!(source.unwrap().to_string(), "disk");
        let boxed: Box<dyn StdError + Send + Sync> = "boxed".into();
        assert_eq!(
            Specialize(boxed).into_source().unwrap().to_string(),
            "boxed"
        );
    }

    #[test]
    fn missing_traits_give_nothing() {
        assert_eq!(Specialize(&Plain).text(), None);
        assert!(Specialize::<Plain>::value().is_none());
        assert!(Specialize(Plain).into_source().is_none());
    }

    #[test]
    fn a_variant_without_text_shows_its_reason() {
        assert_eq!(text_or(None, "INSUFFICIENT_CREDIT"), "insufficient credit");
        assert_eq!(text_or(Some("fib(3)".to_owned()), "X"), "fib(3)");
    }
}
