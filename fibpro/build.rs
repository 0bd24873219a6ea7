//! Tells cargo of the files that the compiler does not name.

#![allow(
    clippy::print_stdout,
    reason = "it is how a build script speaks to cargo"
)]

fn main() {
    // A new migration is a new file, and `sqlx::migrate!` only knows those that were there.
    println!("cargo:rerun-if-changed=migrations");
}
