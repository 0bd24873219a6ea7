//! Formats tokens as a developer would write them, for descriptors and error messages.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

/// Formats `Result < Vec < Record > , SinkError >` as `Result<Vec<Record>, SinkError>`.
///
/// The spaces in the `Display` output of `TokenStream` depend on the compiler version.
pub(crate) fn token_text(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = delimiters(group.delimiter());
                text.push_str(open);
                write(group.stream(), text);
                // Removes the space after a trailing comma.
                text.truncate(text.trim_end().len());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match (punct.as_char(), punct.spacing()) {
                ('-', Spacing::Joint) => {
                    tokens.next();
                    text.push_str(" -> ");
                }
                (',', _) if tokens.peek().is_none() => text.push(','),
                (sign @ (',' | ';'), _) => text.extend([sign, ' ']),
                (sign @ ('+' | '='), _) => text.extend([' ', sign, ' ']),
                (sign, _) => text.push(sign),
            },
            token => {
                if text.ends_with(|last: char| last.is_alphanumeric() || last == '_') {
                    text.push(' ');
                }
                text.push_str(&token.to_string());
            }
        }
    }
}

fn delimiters(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::Brace => ("{", "}"),
        // The invisible group around a `macro_rules!` fragment such as `$ty:ty`.
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_formatted_as_written() {
        for text in [
            "&str",
            "&[Record]",
            "Option<&[u8]>",
            "Result<Vec<(String, u8)>, crate::error::SinkError>",
            "<T as Iterator<Item = u8>>::Item",
            "(u8,)",
            "[u8; 32]",
            "&'a dyn Fn(u8) -> bool + Send",
            "*const u8",
        ] {
            let tokens: TokenStream = text.parse().unwrap();
            assert_eq!(token_text(tokens), text);
        }
    }
}
