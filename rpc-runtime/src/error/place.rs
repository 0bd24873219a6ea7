//! Lines of source code that tell a reader where an error was made.

use std::panic::Location;

/// Returns the line unless it is one of the standard library, which says nothing about the error: a
/// function that is passed as a value, as in `map_err(Error::from)`, is called from there.
pub(super) fn known(at: &'static Location<'static>) -> Option<&'static Location<'static>> {
    (!is_of_the_library(at.file())).then_some(at)
}

/// The second form is that of a toolchain with the sources of the library.
fn is_of_the_library(file: &str) -> bool {
    file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/rust/library/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_library_is_no_place() {
        let library = "library/core/src/ops/function.rs";
        for of_library in [
            format!("/rustc/59807616e1fa2540724bfbac14d7976d7e4a3860/{library}"),
            format!("/home/ada/.rustup/toolchains/stable/lib/rustlib/src/rust/{library}"),
        ] {
            assert!(is_of_the_library(&of_library), "{of_library}");
        }
        for own in [
            "src/main.rs",
            "rustc/src/main.rs",
            "/home/ada/library/core/src/ops/function.rs",
        ] {
            assert!(!is_of_the_library(own), "{own}");
        }
    }
}
