//! What `#[derive(RpcError)]` finds out about a type without a bound on it.
//!
//! An enum need not have `Display`, and a field that stays at home need not be an error or have a `Default`; where
//! they do, the derive uses it. An inherent function whose bounds do not hold gives way to one of a trait, and that
//! is all there is to it: the inherent ones below answer for types that can, [`Fallback`] for the others.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt::Display;

/// A value, or only its type, to ask.
#[derive(Debug)]
#[doc(hidden)]
pub struct Specialize<T>(pub T);

impl<T: Display> Specialize<&T> {
    /// The value's `Display`.
    #[must_use]
    pub fn text(self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// Errors, and what stands for one: boxed errors, texts.
impl<T: Into<Box<dyn StdError + Send + Sync>>> Specialize<T> {
    /// The value as the private cause of an error.
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        Some(self.0.into())
    }
}

impl<T: Default> Specialize<T> {
    /// A value in place of one that stayed at home.
    #[must_use]
    pub fn value() -> Option<T> {
        Some(T::default())
    }
}

/// The answers for types that cannot.
#[doc(hidden)]
pub trait Fallback: Sized {
    /// The type that is asked.
    type Value;

    /// No `Display`.
    #[must_use]
    fn text(self) -> Option<String> {
        None
    }

    /// No error.
    #[must_use]
    fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        None
    }

    /// No `Default`.
    #[must_use]
    fn value() -> Option<Self::Value> {
        None
    }
}

impl<T> Fallback for Specialize<T> {
    type Value = T;
}

/// The text of a variant: the one that it has, or its reason in words.
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
    fn types_that_can_answer_for_themselves() {
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
    fn types_that_cannot_get_nothing() {
        assert_eq!(Specialize(&Plain).text(), None);
        assert!(Specialize::<Plain>::value().is_none());
        assert!(Specialize(Plain).into_source().is_none());
    }

    #[test]
    fn a_variant_without_a_text_says_its_reason() {
        assert_eq!(text_or(None, "INSUFFICIENT_CREDIT"), "insufficient credit");
        assert_eq!(text_or(Some("fib(3)".to_owned()), "X"), "fib(3)");
    }
}
