//! `#[derive(RpcError)]`: implements the trait that sends an enum as a typed error.

mod expand;
mod model;
mod parse;
mod validate;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::errors::Errors;

/// Expands the derive.
pub(crate) fn rpc_error(item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut placeholder = TokenStream::new();
    let model = match syn::parse2::<DeriveInput>(item) {
        Ok(input) => {
            placeholder = expand::placeholder(&input);
            parse::error_enum(input, &mut errors)
        }
        Err(error) => {
            errors.push(error);
            None
        }
    };
    if let Some(model) = &model {
        validate::error_enum(model, &mut errors);
    }
    match model {
        Some(model) if errors.is_empty() => expand::error_enum(&model),
        // A derive does not emit the enum itself.
        _ => {
            let mut tokens = errors.to_compile_errors();
            tokens.extend(placeholder);
            tokens
        }
    }
}
