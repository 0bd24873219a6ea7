//! The comparison of errors.

use super::Error;

/// Compares code, reason and message, for `assert_eq!` in tests.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (&*self.0, &*other.0);
        (left.code, &left.reason, &left.message) == (right.code, &right.reason, &right.message)
    }
}

impl Eq for Error {}
