//! Parses the options of `#[rpc_service(…)]` and of each `#[rpc(…)]`.
//!
//! An item that takes options declares them in a table ([`OptionSet`]). The parser rejects unknown
//! keys, repeated keys and values of the wrong kind, with the same message for every item.

use proc_macro2::{Group, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitBool, LitStr, Meta, Token};

use crate::errors::Errors;
use crate::names;

/// The options that one kind of item accepts.
pub(crate) struct OptionSet {
    /// The kind of item, as messages name it: "a method".
    pub(crate) target: &'static str,
    pub(crate) options: &'static [OptionSpec],
}

/// The declaration of one option.
pub(crate) struct OptionSpec {
    pub(crate) key: &'static str,
    /// The option with its value, as a developer would write it; shown in messages.
    pub(crate) example: &'static str,
    pub(crate) takes: ValueKind,
}

/// The kind of value that an option takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ValueKind {
    /// No value: the option is a flag.
    None,
    /// Nothing, or this word in parentheses.
    Word(&'static str),
    Str,
    Bool,
    /// A string literal or a path.
    StrOrPath,
    /// No value, or an expression.
    OptionalExpr,
}

impl OptionSpec {
    pub(crate) const fn flag(key: &'static str) -> Self {
        Self {
            key,
            example: key,
            takes: ValueKind::None,
        }
    }

    pub(crate) const fn with(key: &'static str, example: &'static str, takes: ValueKind) -> Self {
        Self {
            key,
            example,
            takes,
        }
    }
}

/// The options that an item has. Their errors have already been reported.
#[derive(Default)]
pub(crate) struct ParsedOptions(Vec<ParsedOption>);

struct ParsedOption {
    key: &'static str,
    /// The key in the source, which errors point to.
    ident: Ident,
    value: OptionValue,
}

enum OptionValue {
    None,
    Word,
    Str(LitStr),
    Bool(LitBool),
    StrOrPath(Expr),
    Expr(Expr),
}

impl ParsedOptions {
    /// Removes every `#[rpc(…)]` from `attributes` and parses it. Removal is needed because rustc
    /// does not know the helper attribute of an attribute macro.
    pub(crate) fn take(
        attributes: &mut Vec<Attribute>,
        set: &OptionSet,
        errors: &mut Errors,
    ) -> Self {
        let mut options = Self::default();
        for attribute in attributes.extract_if(.., |attribute| is_rpc(attribute)) {
            options.parse_attribute(&attribute, set, errors);
        }
        options
    }

    /// Parses every `#[rpc(…)]` among `attributes`, for a derive, whose helper attributes stay.
    pub(crate) fn of(attributes: &[Attribute], set: &OptionSet, errors: &mut Errors) -> Self {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| is_rpc(attribute)) {
            options.parse_attribute(attribute, set, errors);
        }
        options
    }

    fn parse_attribute(&mut self, attribute: &Attribute, set: &OptionSet, errors: &mut Errors) {
        match &attribute.meta {
            Meta::List(list) if !list.tokens.is_empty() => {
                self.parse(list.tokens.clone(), set, errors);
            }
            _ => errors.at(
                attribute,
                format_args!(
                    "missing option: `#[rpc(…)]` on {} takes {}",
                    set.target,
                    set.listed()
                ),
            ),
        }
    }

    /// Parses the tokens between the parentheses of an attribute.
    pub(crate) fn parse(&mut self, tokens: TokenStream, set: &OptionSet, errors: &mut Errors) {
        match Punctuated::<RawOption, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(options) => options
                .into_iter()
                .for_each(|option| self.add(option, set, errors)),
            Err(error) => errors.push(error),
        }
    }

    /// Returns the key as written in the source, if the option is present.
    pub(crate) fn key(&self, key: &str) -> Option<&Ident> {
        self.get(key).map(|option| &option.ident)
    }

    /// Returns the key of a flag, if the flag is present.
    pub(crate) fn flag(&self, key: &str) -> Option<&Ident> {
        self.key(key)
    }

    /// Returns whether an option has its word in parentheses.
    pub(crate) fn has_word(&self, key: &str) -> bool {
        let option = self.get(key);
        option.is_some_and(|option| matches!(option.value, OptionValue::Word))
    }

    /// Returns the key of the first option.
    pub(crate) fn first(&self) -> Option<&Ident> {
        self.0.first().map(|option| &option.ident)
    }

    pub(crate) fn str(&self, key: &str) -> Option<&LitStr> {
        match &self.get(key)?.value {
            OptionValue::Str(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        match &self.get(key)?.value {
            OptionValue::Bool(value) => Some(value.value),
            _ => None,
        }
    }

    pub(crate) fn str_or_path(&self, key: &str) -> Option<&Expr> {
        match &self.get(key)?.value {
            OptionValue::StrOrPath(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn expr(&self, key: &str) -> Option<&Expr> {
        match &self.get(key)?.value {
            OptionValue::Expr(value) => Some(value),
            _ => None,
        }
    }

    fn get(&self, key: &str) -> Option<&ParsedOption> {
        self.0.iter().find(|option| option.key == key)
    }

    fn add(&mut self, option: RawOption, set: &OptionSet, errors: &mut Errors) {
        let name = names::unraw(&option.key);
        let Some(spec) = set.options.iter().find(|spec| spec.key == name) else {
            return errors.at(&option.key, set.unknown(&name));
        };
        if self.get(spec.key).is_some() {
            return errors.at(
                &option.key,
                format_args!("duplicate option `{name}`: remove one"),
            );
        }
        // An option with an invalid value counts as present: otherwise a required one would be
        // reported as missing too.
        let value = spec.value(&option).unwrap_or_else(|error| {
            errors.push(error);
            OptionValue::None
        });
        self.0.push(ParsedOption {
            key: spec.key,
            ident: option.key,
            value,
        });
    }
}

fn is_rpc(attribute: &Attribute) -> bool {
    attribute.path().is_ident("rpc")
}

impl OptionSet {
    fn unknown(&self, name: &str) -> String {
        let guess = names::closest(name, self.options.iter().map(|spec| spec.key));
        let guess = guess
            .map(|guess| format!("; did you mean `{guess}`?"))
            .unwrap_or_default();
        format!(
            "unknown option `{name}` of {}{guess}\naccepted: {}",
            self.target,
            self.listed()
        )
    }

    fn listed(&self) -> String {
        let examples: Vec<String> = self
            .options
            .iter()
            .map(|spec| format!("`{}`", spec.example))
            .collect();
        examples.join(", ")
    }
}

impl OptionSpec {
    fn value(&self, option: &RawOption) -> syn::Result<OptionValue> {
        match (self.takes, &option.value) {
            (ValueKind::None | ValueKind::Word(_) | ValueKind::OptionalExpr, RawValue::None) => {
                Ok(OptionValue::None)
            }
            (ValueKind::Word(word), RawValue::List(list)) if list.stream().to_string() == word => {
                Ok(OptionValue::Word)
            }
            (
                ValueKind::Str,
                RawValue::Expr(Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                })),
            ) => Ok(OptionValue::Str(text.clone())),
            (
                ValueKind::Bool,
                RawValue::Expr(Expr::Lit(ExprLit {
                    lit: Lit::Bool(value),
                    ..
                })),
            ) => Ok(OptionValue::Bool(value.clone())),
            (ValueKind::StrOrPath, RawValue::Expr(value)) => {
                Ok(OptionValue::StrOrPath(value.clone()))
            }
            (ValueKind::OptionalExpr, RawValue::Expr(value)) => {
                Ok(OptionValue::Expr(value.clone()))
            }
            // The error points to the value, or to the key if there is no value.
            (takes, value) => {
                let tokens = value
                    .tokens()
                    .unwrap_or_else(|| option.key.to_token_stream());
                let message = match takes {
                    ValueKind::None => {
                        format!("`{0}` takes no value: write `{0}`", self.key)
                    }
                    ValueKind::Word(word) => {
                        format!(
                            "invalid value of `{0}`: write `{0}` or `{0}({word})`",
                            self.key
                        )
                    }
                    _ => format!(
                        "invalid or missing value of `{}`: write `{}`",
                        self.key, self.example
                    ),
                };
                Err(syn::Error::new_spanned(tokens, message))
            }
        }
    }
}

/// An option as it is in the source: `key`, `key = value` or `key(…)`.
struct RawOption {
    key: Ident,
    value: RawValue,
}

enum RawValue {
    None,
    Expr(Expr),
    List(Group),
}

impl RawValue {
    fn tokens(&self) -> Option<TokenStream> {
        match self {
            Self::None => None,
            Self::Expr(value) => Some(value.to_token_stream()),
            Self::List(list) => Some(list.to_token_stream()),
        }
    }
}

/// Removes the invisible group around a fragment of `macro_rules!`, such as `$package:literal`.
fn ungrouped(value: Expr) -> Expr {
    match value {
        Expr::Group(group) => ungrouped(*group.expr),
        value => value,
    }
}

impl Parse for RawOption {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // Keywords are accepted: `default` and `crate` are options, and a mistaken `type` gets the
        // message about unknown options.
        let key = input.call(Ident::parse_any)?;
        let value = if input.parse::<Option<Token![=]>>()?.is_some() {
            RawValue::Expr(ungrouped(input.parse()?))
        } else if input.peek(syn::token::Paren) {
            RawValue::List(input.parse()?)
        } else {
            RawValue::None
        };
        Ok(Self { key, value })
    }
}
