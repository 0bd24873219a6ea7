//! The path of the runtime crate in an expansion: `::rpc_runtime`, or the option `crate`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::Path;

use crate::errors::Errors;
use crate::options::{OptionSpec, ParsedOptions, ValueKind};

/// The option `crate = "…"`, for crates that rename the runtime or use it through a facade crate.
pub(crate) const OPTION: OptionSpec = OptionSpec::with(
    "crate",
    r#"crate = "my_facade::rpc_runtime""#,
    ValueKind::Str,
);

/// Returns the path of the runtime crate.
pub(crate) fn runtime_path(options: &ParsedOptions, errors: &mut Errors) -> TokenStream {
    if let Some(text) = options.str(OPTION.key) {
        match text.parse_with(Path::parse_mod_style) {
            Ok(path) => return generated(&path),
            Err(_) => errors.at(
                text,
                format_args!(
                    "invalid path `{}` of the runtime crate: write `{}`",
                    text.value(),
                    OPTION.example
                ),
            ),
        }
    }
    quote_spanned!(Span::mixed_site()=> ::rpc_runtime)
}

/// Returns the tokens with generated spans. Lints check where an item or a path begins, and would
/// otherwise apply to generated code as if the developer had written it.
pub(crate) fn generated(tokens: &impl ToTokens) -> TokenStream {
    let tokens = tokens.to_token_stream().into_iter().map(|mut token| {
        token.set_span(token.span().resolved_at(Span::mixed_site()));
        token
    });
    tokens.collect()
}
