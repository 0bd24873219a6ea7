//! Every name that the macros generate, and the rules for the names that developers choose.
//!
//! All of them start from the identifier without its `r#`: a method `r#type` is `Type` on the wire, and
//! `format_ident!("{}Client", …)` on a raw identifier would panic.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;

/// The identifier's text without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

// === identifiers of the expansion ===

/// `LogSink` → `LogSinkClient`. It keeps the trait's span, so that an editor's "go to definition" finds the trait.
pub(crate) fn client(service: &Ident) -> Ident {
    derived(service, &format!("{}Client", plain(service)))
}

/// `LogSink` → `LogSinkServer`.
pub(crate) fn server(service: &Ident) -> Ident {
    derived(service, &format!("{}Server", plain(service)))
}

/// `recv_log` → `__RECV_LOG`, the static that holds everything about a method.
pub(crate) fn handle(method: &Ident) -> Ident {
    let name = format!("__{}", plain(method).to_uppercase());
    Ident::new(&name, Span::mixed_site().located_at(method.span()))
}

/// The type parameter for an implementation of the service. A trait may be called `T` too.
pub(crate) fn implementation(service: &Ident) -> Ident {
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

// === spellings ===

/// `recv_log` → `RecvLog`: a method's name on the wire.
pub(crate) fn upper_camel(snake: &str) -> String {
    snake.split('_').map(capitalized).collect()
}

/// `user_id` → `userId`: the second spelling in which an argument is understood, by the rule of the runtime.
pub(crate) fn lower_camel(snake: &str) -> String {
    let mut parts = snake.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &capitalized(part))
}

/// `LogSink` → `log_sink`: the endpoint of a service that names none.
pub(crate) fn lower_snake(camel: &str) -> String {
    words(camel).join("_")
}

/// `InsufficientCredit` → `INSUFFICIENT_CREDIT`: the reason of an error's variant.
pub(crate) fn screaming_snake(camel: &str) -> String {
    words(camel).join("_").to_uppercase()
}

/// `rpc-macros` → `rpc_macros`: the package of a service that names none.
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

/// The words of a name in lower case. `HTTPServer2Go` → `http`, `server2`, `go`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut parted = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let after_small = at > 0 && !letters[at - 1].is_uppercase();
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (after_small || before_small) {
            parted.push('_');
        }
        parted.extend(letter.to_lowercase());
    }
    let words = parted.split('_').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

// === rules ===

/// What may stand on the wire as the name of a service, a method or an argument: `[A-Za-z_][A-Za-z0-9_]*`.
pub(crate) fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// `fibpro.v1`: identifiers with dots between them.
pub(crate) fn is_package(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

/// `logsink`: what discovery takes, which is what may stand in a host name or a file name.
pub(crate) fn is_endpoint(name: &str) -> bool {
    let allowed = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-.".contains(letter)
    };
    !name.is_empty() && name.chars().all(allowed)
}

/// `google.rpc.ErrorInfo` asks for this form: `[A-Z][A-Z0-9_]*`, at most 63 characters.
pub(crate) fn is_reason(name: &str) -> bool {
    let allowed =
        |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.len() <= 63
        && name.chars().all(allowed)
}

// === guesses ===

/// The candidate that the developer probably meant, for "did you mean".
///
/// Case and underscores do not count: `noSideEffects` is nearer to `no_side_effects` than its letters say.
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
    // A third of the letters: `idempotnt` is a slip, `cache` is another word.
    (distance <= written.chars().count().div_ceil(3)).then_some(candidate)
}

/// How many letters have to be inserted, removed or replaced to get from one word to the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // `row[n]` is the distance from the part of `from` read so far to the first `n` letters of `to`.
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
