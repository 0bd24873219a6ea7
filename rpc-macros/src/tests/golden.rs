//! `golden/input/<feature>.rs` expands to `golden/<feature>.rs`, so that a change of the expansion is read in review.
//!
//! `UPDATE_GOLDEN=1 cargo test -p rpc-macros golden` accepts what comes out.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Attribute, Item, Meta};

#[test]
fn every_input_expands_to_the_accepted_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differing = Vec::new();
    for input in inputs(&folder) {
        let expanded = expand_file(&fs::read_to_string(&input).unwrap());
        let accepted = folder.join(input.file_name().unwrap());
        if update {
            fs::write(&accepted, expanded).unwrap();
        } else if fs::read_to_string(&accepted).unwrap_or_default() != expanded {
            differing.push(format!("--- {} would be\n{expanded}", accepted.display()));
        }
    }
    let differing = differing.join("\n");
    assert!(
        differing.is_empty(),
        "{differing}\naccept with UPDATE_GOLDEN=1 if this is meant"
    );
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("input")).unwrap();
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

/// The file with every macro of ours expanded and everything else left out.
fn expand_file(source: &str) -> String {
    let items = syn::parse_file(source).unwrap().items;
    let expanded: TokenStream = items.into_iter().filter_map(expand_item).collect();
    prettyplease::unparse(&syn::parse2(expanded).unwrap())
}

fn expand_item(item: Item) -> Option<TokenStream> {
    match item {
        Item::Trait(mut contract) => {
            let at = contract
                .attrs
                .iter()
                .position(|attribute| attribute.path().is_ident("rpc_service"))?;
            let arguments = arguments(&contract.attrs.remove(at));
            Some(crate::service::rpc_service(
                arguments,
                &contract.into_token_stream(),
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
