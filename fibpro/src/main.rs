//! FibPro.
fn main() {}
