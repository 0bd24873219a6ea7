//! Limits the size of the expansion: behaviour belongs in the runtime, where it is compiled once.
//!
//! A commit that raises a limit states the reason.

use proc_macro2::{Spacing, TokenStream, TokenTree};
use quote::quote;

/// The limit for a service without methods, in tokens. It includes three functions that hide a
/// `static` of the same name, and the head of the implementation for `Arc<T>`.
const SERVICE: usize = 450;
/// The limit for each method with two arguments, in tokens. It includes the constant with its name
/// and the method of `Arc<T>`.
const METHOD: usize = 400;
/// The limit for each further argument, in tokens. It is declared and passed three times: by the
/// client, by the client's implementation of the trait, and by that of `Arc<T>`.
const ARGUMENT: usize = 66;

#[test]
fn a_service_stays_within_its_budget() {
    let tokens = count(expansion(&TokenStream::new()));
    assert!(tokens <= SERVICE, "{tokens} tokens");
}

#[test]
fn a_method_stays_within_its_budget() {
    let tokens = tokens_of(&quote! {
        /// Appends one record.
        #[rpc(idempotent, timeout = "2s")]
        async fn recv_log(&self, message: &str, #[rpc(default)] level: Level) -> Result<bool>;
    });
    assert!(tokens <= METHOD, "{tokens} tokens");
}

#[test]
fn an_idempotency_key_adds_at_most_five_tokens() {
    let with =
        |key| tokens_of(&quote!(async fn pay(&self, #key key: &str, cents: u64) -> Result<bool>;));
    let more = with(quote!(#[rpc(idempotency_key)])) - with(TokenStream::new());
    assert!(more <= 5, "{more} tokens");
}

#[test]
fn an_argument_stays_within_its_budget() {
    let with = |arguments| tokens_of(&quote!(async fn recv(&self, #arguments) -> Result<bool>;));
    let one = with(quote!(a: &[Record]));
    let two = with(quote!(a: &[Record], b: &[Record]));
    assert!(two - one <= ARGUMENT, "{} tokens", two - one);
}

fn tokens_of(method: &TokenStream) -> usize {
    count(expansion(method)) - count(expansion(&TokenStream::new()))
}

fn expansion(methods: &TokenStream) -> TokenStream {
    let trait_item = quote!(pub trait LogSink { #methods });
    crate::service::rpc_service(
        quote!(package = "fibpro.v1", endpoint = "logsink"),
        &trait_item,
    )
}

/// Counts tokens. An operator such as `::` and a pair of brackets are one token each; documentation
/// does not count.
fn count(tokens: TokenStream) -> usize {
    let mut count = 0;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        count += match token {
            TokenTree::Punct(sign)
                if sign.as_char() == '#' && tokens.next_if(is_documentation).is_some() =>
            {
                0
            }
            TokenTree::Punct(sign) => usize::from(sign.spacing() == Spacing::Alone),
            TokenTree::Group(group) => 1 + self::count(group.stream()),
            TokenTree::Ident(_) | TokenTree::Literal(_) => 1,
        }
    }
    count
}

fn is_documentation(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else {
        return false;
    };
    matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(ident)) if ident == "doc")
}
