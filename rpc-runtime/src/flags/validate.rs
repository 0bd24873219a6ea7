//! Validators of flag values.

use std::fmt;
use std::ops::{Bound, RangeBounds};

/// Accepts or rejects the values of a flag. Implemented by functions
/// `fn(&T) -> Result<(), String>`.
pub trait Validator<T> {
    /// Validates a value.
    ///
    /// # Errors
    ///
    /// The reason for which the value is rejected. It is shown to the author of the change.
    fn check(&self, value: &T) -> Result<(), String>;

    /// Describes the accepted values, such as `from 1 to 10`. `print` formats a value. Empty by
    /// default.
    fn accepts(&self, print: fn(&T) -> String) -> String {
        let _ = print;
        String::new()
    }
}

impl<T, F: Fn(&T) -> Result<(), String>> Validator<T> for F {
    fn check(&self, value: &T) -> Result<(), String> {
        self(value)
    }
}

/// Accepts values within bounds, for `validate = range(1..=10)`.
pub fn range<R>(bounds: R) -> Range<R> {
    Range(bounds)
}

/// The validator that [`range`] returns.
#[derive(Debug, Clone, Copy)]
pub struct Range<R>(R);

impl<T: PartialOrd, R: RangeBounds<T>> Validator<T> for Range<R> {
    fn check(&self, value: &T) -> Result<(), String> {
        if self.0.contains(value) {
            Ok(())
        } else {
            Err("out of range".to_owned())
        }
    }

    fn accepts(&self, print: fn(&T) -> String) -> String {
        let lower = match self.0.start_bound() {
            Bound::Included(least) => format!("from {}", print(least)),
            Bound::Excluded(least) => format!("more than {}", print(least)),
            Bound::Unbounded => String::new(),
        };
        let upper = match self.0.end_bound() {
            Bound::Included(most) => format!("to {}", print(most)),
            Bound::Excluded(most) => format!("less than {}", print(most)),
            Bound::Unbounded => String::new(),
        };
        let both = [lower, upper].into_iter().filter(|part| !part.is_empty());
        both.collect::<Vec<_>>().join(" ")
    }
}

/// Accepts one of these texts, for `validate = one_of(["fast", "safe"])`. In a list, each element
/// must be one of them.
pub fn one_of<const N: usize>(texts: [&'static str; N]) -> OneOf<N> {
    OneOf(texts)
}

/// The validator that [`one_of`] returns.
#[derive(Debug, Clone, Copy)]
pub struct OneOf<const N: usize>([&'static str; N]);

impl<const N: usize> OneOf<N> {
    fn has(&self, text: &str) -> Result<(), String> {
        if self.0.contains(&text) {
            Ok(())
        } else {
            Err("not one of the allowed values".to_owned())
        }
    }
}

impl<const N: usize> fmt::Display for OneOf<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of `{}`", self.0.join("`, `"))
    }
}

impl<const N: usize> Validator<String> for OneOf<N> {
    fn check(&self, value: &String) -> Result<(), String> {
        self.has(value)
    }

    fn accepts(&self, _: fn(&String) -> String) -> String {
        self.to_string()
    }
}

impl<const N: usize> Validator<Vec<String>> for OneOf<N> {
    fn check(&self, value: &Vec<String>) -> Result<(), String> {
        value.iter().try_for_each(|text| self.has(text))
    }

    fn accepts(&self, _: fn(&Vec<String>) -> String) -> String {
        format!("each {self}")
    }
}

/// Accepts texts and lists that are not empty, for `validate = not_empty()`.
#[must_use]
pub fn not_empty() -> NotEmpty {
    NotEmpty(())
}

/// The validator that [`not_empty`] returns.
#[derive(Debug, Clone, Copy)]
pub struct NotEmpty(());

impl NotEmpty {
    fn some(is_empty: bool) -> Result<(), String> {
        if is_empty {
            Err("it is empty".to_owned())
        } else {
            Ok(())
        }
    }
}

impl Validator<String> for NotEmpty {
    fn check(&self, value: &String) -> Result<(), String> {
        Self::some(value.is_empty())
    }

    fn accepts(&self, _: fn(&String) -> String) -> String {
        "not empty".to_owned()
    }
}

impl<T> Validator<Vec<T>> for NotEmpty {
    fn check(&self, value: &Vec<T>) -> Result<(), String> {
        Self::some(value.is_empty())
    }

    fn accepts(&self, _: fn(&Vec<T>) -> String) -> String {
        "not empty".to_owned()
    }
}
