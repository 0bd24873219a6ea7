//! What values a flag takes, beyond its type.

use std::fmt;
use std::ops::{Bound, RangeBounds};

/// Decides which values of its type a flag takes. A function `fn(&T) -> Result<(), String>` is one.
pub trait Validator<T> {
    /// Looks at a value.
    ///
    /// # Errors
    ///
    /// Why the value is refused; a caller reads it.
    fn check(&self, value: &T) -> Result<(), String>;

    /// What it takes, such as `from 1 to 10`, where that can be said; `print` makes a text of a value.
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

/// Values within bounds, for `validate = range(1..=10)`.
pub fn range<R>(bounds: R) -> Range<R> {
    Range(bounds)
}

/// Made by [`range`].
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

/// One of some texts, for `validate = one_of(["fast", "safe"])`; for lists, each of them.
pub fn one_of<const N: usize>(texts: [&'static str; N]) -> OneOf<N> {
    OneOf(texts)
}

/// Made by [`one_of`].
#[derive(Debug, Clone, Copy)]
pub struct OneOf<const N: usize>([&'static str; N]);

impl<const N: usize> OneOf<N> {
    fn has(&self, text: &str) -> Result<(), String> {
        if self.0.contains(&text) {
            Ok(())
        } else {
            Err("not one of them".to_owned())
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

/// A text or list that is not empty, for `validate = not_empty()`.
#[must_use]
pub fn not_empty() -> NotEmpty {
    NotEmpty(())
}

/// Made by [`not_empty`].
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
