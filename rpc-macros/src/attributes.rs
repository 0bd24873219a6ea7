//! The option parser behind `#[rpc_service(…)]` and every `#[rpc(…)]`.
//!
//! Each place that takes options declares them as a table ([`Place`]); the parser does the rest, so that every place
//! refuses an unknown key, a second value and a value of the wrong kind in the same words.

use proc_macro2::{Group, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitBool, LitStr, Meta, Token};

use crate::errors::Errors;
use crate::names;

/// Where options stand, and which.
pub(crate) struct Place {
    /// Completes "unknown option … of".
    pub(crate) of: &'static str,
    pub(crate) options: &'static [Known],
}

/// An option that a place knows.
pub(crate) struct Known {
    pub(crate) key: &'static str,
    /// The option as a developer would write it, value included. All messages show this.
    pub(crate) example: &'static str,
    pub(crate) takes: Takes,
}

/// The value that an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Takes {
    Nothing,
    Text,
    Switch,
    /// Text or a path.
    Word,
}

impl Known {
    pub(crate) const fn flag(key: &'static str) -> Self {
        Self {
            key,
            example: key,
            takes: Takes::Nothing,
        }
    }

    pub(crate) const fn with(key: &'static str, example: &'static str, takes: Takes) -> Self {
        Self {
            key,
            example,
            takes,
        }
    }
}

/// The options that were written at one place. Whatever was wrong with them has been reported already.
#[derive(Default)]
pub(crate) struct Options(Vec<Found>);

struct Found {
    key: &'static str,
    written: Ident,
    value: Value,
}

enum Value {
    Nothing,
    Text(LitStr),
    Switch(LitBool),
    Word(Expr),
}

impl Options {
    /// Takes every `#[rpc(…)]` out of `attributes` and reads it: rustc must not see a helper attribute of ours.
    pub(crate) fn take(
        attributes: &mut Vec<Attribute>,
        place: &Place,
        errors: &mut Errors,
    ) -> Self {
        let mut options = Self::default();
        for attribute in attributes.extract_if(.., |attribute| attribute.path().is_ident("rpc")) {
            match &attribute.meta {
                Meta::List(list) if !list.tokens.is_empty() => {
                    options.read(list.tokens.clone(), place, errors);
                }
                _ => errors.at(
                    &attribute,
                    format_args!(
                        "say which option: `#[rpc(…)]` on {} takes {}",
                        place.of,
                        place.listed()
                    ),
                ),
            }
        }
        options
    }

    /// Reads what stands between the parentheses of an attribute.
    pub(crate) fn read(&mut self, tokens: TokenStream, place: &Place, errors: &mut Errors) {
        match Punctuated::<Written, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(all) => all
                .into_iter()
                .for_each(|written| self.add(written, place, errors)),
            Err(error) => errors.push(error),
        }
    }

    /// The key as it was written, to point at, if the option was.
    pub(crate) fn key(&self, key: &str) -> Option<&Ident> {
        self.found(key).map(|found| &found.written)
    }

    /// As [`key`](Self::key), where the key says everything.
    pub(crate) fn flag(&self, key: &str) -> Option<&Ident> {
        self.key(key)
    }

    /// The first one that was written.
    pub(crate) fn any(&self) -> Option<&Ident> {
        self.0.first().map(|found| &found.written)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&LitStr> {
        match &self.found(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn switch(&self, key: &str) -> Option<bool> {
        match &self.found(key)?.value {
            Value::Switch(switch) => Some(switch.value),
            _ => None,
        }
    }

    pub(crate) fn word(&self, key: &str) -> Option<&Expr> {
        match &self.found(key)?.value {
            Value::Word(word) => Some(word),
            _ => None,
        }
    }

    fn found(&self, key: &str) -> Option<&Found> {
        self.0.iter().find(|found| found.key == key)
    }

    fn add(&mut self, written: Written, place: &Place, errors: &mut Errors) {
        let name = names::plain(&written.key);
        let Some(known) = place.options.iter().find(|known| known.key == name) else {
            return errors.at(&written.key, place.unknown(&name));
        };
        if self.found(known.key).is_some() {
            return errors.at(
                &written.key,
                format_args!("`{name}` is set twice: keep one"),
            );
        }
        // One with a wrong value counts as written, or it would be missed as well.
        let value = known.value(&written).unwrap_or_else(|error| {
            errors.push(error);
            Value::Nothing
        });
        self.0.push(Found {
            key: known.key,
            written: written.key,
            value,
        });
    }
}

impl Place {
    fn unknown(&self, name: &str) -> String {
        let guess = names::closest(name, self.options.iter().map(|known| known.key));
        let guess = guess
            .map(|guess| format!("; did you mean `{guess}`?"))
            .unwrap_or_default();
        format!(
            "unknown option `{name}` of {}{guess}\naccepted: {}",
            self.of,
            self.listed()
        )
    }

    fn listed(&self) -> String {
        let examples: Vec<String> = self
            .options
            .iter()
            .map(|known| format!("`{}`", known.example))
            .collect();
        examples.join(", ")
    }
}

impl Known {
    fn value(&self, written: &Written) -> syn::Result<Value> {
        match (self.takes, &written.value) {
            (Takes::Nothing, Assigned::Nothing) => Ok(Value::Nothing),
            (
                Takes::Text,
                Assigned::Expr(Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                })),
            ) => Ok(Value::Text(text.clone())),
            (
                Takes::Switch,
                Assigned::Expr(Expr::Lit(ExprLit {
                    lit: Lit::Bool(switch),
                    ..
                })),
            ) => Ok(Value::Switch(switch.clone())),
            (Takes::Word, Assigned::Expr(word)) => Ok(Value::Word(word.clone())),
            // What has to change is the value; the key, where there is none.
            (takes, assigned) => {
                let tokens = assigned
                    .tokens()
                    .unwrap_or_else(|| written.key.to_token_stream());
                let message = match takes {
                    Takes::Nothing => format!("`{}` takes no value: write it alone", self.key),
                    _ => format!("`{}` takes a value: write `{}`", self.key, self.example),
                };
                Err(syn::Error::new_spanned(tokens, message))
            }
        }
    }
}

/// One entry as it stands in the source: `key`, `key = value` or, never right, `key(…)`.
struct Written {
    key: Ident,
    value: Assigned,
}

enum Assigned {
    Nothing,
    Expr(Expr),
    List(Group),
}

impl Assigned {
    fn tokens(&self) -> Option<TokenStream> {
        match self {
            Self::Nothing => None,
            Self::Expr(value) => Some(value.to_token_stream()),
            Self::List(list) => Some(list.to_token_stream()),
        }
    }
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // Any identifier, keywords included, so that `default` and a mistaken `type` or `async` get an answer of ours.
        let key = input.call(Ident::parse_any)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() {
            Assigned::Expr(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            Assigned::List(input.parse()?)
        } else {
            Assigned::Nothing
        };
        Ok(Self { key, value })
    }
}
