//! Fuzz targets: one for each reader of the network and of files.
//!
//! A target takes any bytes and must not panic. It also checks what must hold for every input: a
//! server never responds with `internal`, and what is printed of a peer has no control characters.
//! `.ci/fuzz` runs each target under libFuzzer; the tests of this crate run them on their corpora.

mod files;
mod network;

/// A name, which is also that of the folder of the corpus, and the function that takes an input.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// The targets, sorted by name.
pub const TARGETS: [FuzzTarget; 14] = [
    ("body", network::body),
    ("connection", network::connection),
    ("error_json", network::error_json),
    ("faults", network::faults),
    ("flags", files::flags),
    ("get", network::get),
    ("keys", files::keys),
    ("proxy", network::proxy),
    ("request", network::request),
    ("response", network::response),
    ("signature", network::signature),
    ("spool", files::spool),
    ("timeout", network::timeout),
    ("users", files::users),
];

/// Asserts that a text that quotes a peer can be printed on a terminal.
fn assert_printable(text: &str) {
    let unsafe_char = text
        .chars()
        .find(|c| *c != '\n' && fibpro::terminal::is_unsafe(*c));
    assert_eq!(unsafe_char, None, "{text:?}");
}
