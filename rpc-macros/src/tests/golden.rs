//! Checks that `golden/input/<feature>.rs` expands to `golden/<feature>.rs`, which shows changes of
//! the expansion in reviews.
//!
//! `UPDATE_GOLDEN=1 cargo test -p rpc-macros golden` accepts the new expansions.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, Meta};

#[test]
fn inputs_expand_to_the_golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for input in inputs(&folder) {
        let expanded = expand_file(&fs::read_to_string(&input).unwrap());
        let accepted = folder.join(input.file_name().unwrap());
        if update {
            fs::write(&accepted, expanded).unwrap();
        } else if fs::read_to_string(&accepted).unwrap_or_default() != expanded {
            differing.push(format!(
                "--- {} differs; the expansion is\n{expanded}",
                accepted.display()
            ));
        }
    }
    let differing = differing.join("\n");
    assert!(
        differing.is_empty(),
        "{differing}\nset UPDATE_GOLDEN=1 to accept the new expansions"
    );
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("input")).unwrap();
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

/// Returns the expansions of our macros in the file; other items are left out.
fn expand_file(source: &str) -> String {
    let items = syn::parse_file(source).unwrap().items;
    let expanded: TokenStream = items.into_iter().filter_map(expand_item).collect();
    prettyplease::unparse(&syn::parse2(inline_sides(expanded)).unwrap())
}

/// Replaces each `sides! { client { … } server { … } }` with the items in it, as a runtime with
/// both sides does, since `prettyplease` does not format the arguments of a macro.
fn inline_sides(tokens: TokenStream) -> TokenStream {
    let mut inlined: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == '!' && ends_with_sides(&inlined) => {
                while let Some(TokenTree::Ident(_) | TokenTree::Punct(_)) = inlined.last() {
                    inlined.pop();
                }
                let Some(TokenTree::Group(sides)) = tokens.next() else {
                    panic!("`sides!` without braces");
                };
                inlined.extend(items_of(sides.stream()));
            }
            TokenTree::Group(group) => {
                let stream = inline_sides(group.stream());
                inlined.push(Group::new(group.delimiter(), stream).into());
            }
            token => inlined.push(token),
        }
    }
    inlined.into_iter().collect()
}

fn ends_with_sides(tokens: &[TokenTree]) -> bool {
    matches!(tokens.last(), Some(TokenTree::Ident(ident)) if ident == "sides")
}

/// Returns the tokens in the braces after each label.
fn items_of(sides: TokenStream) -> impl Iterator<Item = TokenTree> {
    sides.into_iter().flat_map(|token| match token {
        TokenTree::Group(items) => items.stream(),
        _ => TokenStream::new(),
    })
}

fn expand_item(item: Item) -> Option<TokenStream> {
    match item {
        Item::Trait(mut trait_item) => {
            let at = trait_item
                .attrs
                .iter()
                .position(|attribute| attribute.path().is_ident("rpc_service"))?;
            let arguments = arguments(&trait_item.attrs.remove(at));
            Some(crate::service::rpc_service(
                arguments,
                &trait_item.into_token_stream(),
            ))
        }
        Item::Enum(error) => Some(crate::error::rpc_error(error.into_token_stream())),
        _ => None,
    }
}

fn arguments(attribute: &Attribute) -> TokenStream {
    match &attribute.meta {
        Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    }
}
