//! Generated names, and the rules for names that developers choose.
//!
//! Names are derived from the identifier without `r#`: a method `r#type` is `Type` on the wire, and
//! `format_ident!("{}Client", …)` panics on a raw identifier.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;

/// Returns the identifier's text without `r#`.
pub(crate) fn unraw(ident: &Ident) -> String {
    ident.unraw().to_string()
}

// === identifiers of the expansion ===

/// Returns the name of the client: `LogSink` → `LogSinkClient`. The name has the trait's span, so
/// that "go to definition" of an editor finds the trait.
pub(crate) fn client(service: &Ident) -> Ident {
    derived(service, &format!("{}Client", unraw(service)))
}

/// Returns the name of the server's factory: `LogSink` → `LogSinkServer`.
pub(crate) fn server(service: &Ident) -> Ident {
    derived(service, &format!("{}Server", unraw(service)))
}

/// Returns the name of the static with the descriptor and the codecs of a method: `recv_log` →
/// `__METHOD_RECV_LOG`. The statics of the service have other prefixes, so no method has the name
/// of one.
pub(crate) fn method_static(method: &Ident) -> Ident {
    let name = format!("__METHOD_{}", unraw(method).to_uppercase());
    Ident::new(&name, Span::mixed_site().located_at(method.span()))
}

/// Returns the name of the constant with the full name of a method: `recv_log` → `RECV_LOG`. `None`
/// for a method of that name.
pub(crate) fn constant(method: &Ident) -> Option<Ident> {
    let (name, constant) = (unraw(method), unraw(method).to_uppercase());
    (name != constant).then(|| derived(method, &constant))
}

/// Returns the type parameter for an implementation of the service: `T`, unless the trait itself is
/// named `T`.
pub(crate) fn impl_param(service: &Ident) -> Ident {
    let name = if service == "T" {
        "Implementation"
    } else {
        "T"
    };
    Ident::new(name, Span::mixed_site())
}

fn derived(from: &Ident, name: &str) -> Ident {
    Ident::new(name, from.span())
}

// === case conversion ===

/// Returns the wire name of a method: `recv_log` → `RecvLog`.
pub(crate) fn upper_camel(snake: &str) -> String {
    snake.split('_').map(capitalized).collect()
}

/// Returns the second accepted JSON name of an argument: `user_id` → `userId`. The runtime uses the
/// same rule.
pub(crate) fn lower_camel(snake: &str) -> String {
    let mut parts = snake.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &capitalized(part))
}

/// Returns the default endpoint of a service: `LogSink` → `log_sink`.
pub(crate) fn lower_snake(camel: &str) -> String {
    split_words(camel).join("_")
}

/// Returns the default reason of an error variant: `InsufficientCredit` → `INSUFFICIENT_CREDIT`.
pub(crate) fn screaming_snake(camel: &str) -> String {
    split_words(camel).join("_").to_uppercase()
}

/// Returns the default package of a service: `rpc-macros` → `rpc_macros`.
pub(crate) fn package_of_crate(name: &str) -> String {
    name.replace('-', "_")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Splits a name into lower-case words: `HTTPServer2Go` → `http`, `server2`, `go`.
fn split_words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut parted = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_lower || before_lower) {
            parted.push('_');
        }
        parted.extend(letter.to_lowercase());
    }
    let words = parted.split('_').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

// === rules ===

/// Returns whether `name` is valid on the wire as the name of a service, a method or an argument:
/// `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Returns whether `name` is dot-separated identifiers, such as `fibpro.v1`.
pub(crate) fn is_package(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

/// Returns whether discovery accepts `name` as an endpoint: the characters are those allowed in
/// host names and file names.
pub(crate) fn is_endpoint(name: &str) -> bool {
    let allowed = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-.".contains(letter)
    };
    !name.is_empty() && name.chars().all(allowed)
}

/// Returns whether `name` is a valid reason of `google.rpc.ErrorInfo`: `[A-Z][A-Z0-9_]*`, at most
/// 63 characters.
pub(crate) fn is_reason(name: &str) -> bool {
    let allowed =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.len() <= 63
        && name.chars().all(allowed)
}

// === suggestions ===

/// Returns the candidate for "did you mean", if one is similar enough to `written`.
///
/// Case and underscores are ignored: `noSideEffects` matches `no_side_effects`.
pub(crate) fn closest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let bare = |name: &str| name.replace('_', "").to_lowercase();
    let written = bare(written);
    let distances = candidates
        .into_iter()
        .map(|candidate| (edit_distance(&written, &bare(candidate)), candidate));
    let (distance, candidate) = distances.min_by_key(|&(distance, _)| distance)?;
    // At most a third of the letters may differ: `idempotnt` is a typo, `cache` is another word.
    (distance <= written.chars().count().div_ceil(3)).then_some(candidate)
}

/// Returns the Levenshtein distance: the number of letters to insert, remove or replace.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // `row[n]` is the distance between the prefix of `from` read so far and the first `n` letters
    // of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (n, &wanted) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != wanted);
            diagonal = row[n + 1];
            row[n + 1] = replaced.min(row[n] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests;
