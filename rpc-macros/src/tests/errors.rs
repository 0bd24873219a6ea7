//! Checks the number, the order and the texts of errors, without a compiler. `tests/ui` checks how
//! the compiler shows them.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// Checks the beginning of each message.
fn assert_errors(arguments: TokenStream, trait_item: TokenStream, beginnings: &[&str]) {
    let mut errors = Errors::default();
    crate::service::read(arguments, syn::parse2(trait_item).unwrap(), &mut errors);
    let messages = errors.messages();
    assert_eq!(messages.len(), beginnings.len(), "{messages:#?}");
    for (message, beginning) in messages.iter().zip(beginnings) {
        assert!(
            message.starts_with(beginning),
            "{message}\ndoes not start with\n{beginning}"
        );
    }
}

#[test]
fn all_errors_are_reported_in_source_order() {
    assert_errors(
        quote!(packge = "shop.v1"),
        quote! {
            trait Shop<T> {
                const LIMIT: usize;
                #[rpc(idempotnt)]
                fn buy(&mut self, item: &mut Item) -> bool;
                async fn connect(&self) -> Result<()>;
            }
        },
        &[
            "unknown option `packge` of a service; did you mean `package`?",
            "a service trait cannot be generic",
            "a service trait cannot have associated constants",
            "unknown option `idempotnt` of a method; did you mean `idempotent`?",
            "a method must be `async`: write `async fn buy`",
            "a method must take `&self`, since calls run concurrently: keep",
            "an argument cannot be `&mut`",
            "a method must return a `Result`, since every call can fail: write `-> Result<bool>`",
            "`connect` is reserved for a constructor",
        ],
    );
}

#[test]
fn errors_between_methods_are_in_source_order() {
    assert_errors(
        TokenStream::new(),
        quote! {
            trait Shop {
                async fn recv_log(&self, user_id: u8, userId: u8) -> Result<()>;
                #[rpc(name = "RecvLog", timeout = "10m")]
                async fn other(&self) -> Result<()>;
                #[rpc(message)]
                async fn third(&self) -> Result<()>;
            }
        },
        &[
            "`userId` and `user_id` have the same JSON name `userId`",
            "`other` and `recv_log` have the same wire name `RecvLog`",
            "the timeout exceeds the maximum of 5 minutes",
            "a method in message style takes one argument, the request message: give `third`",
        ],
    );
}

#[test]
fn all_parts_of_a_method_are_checked() {
    assert_errors(
        TokenStream::new(),
        quote! {
            trait Shop {
                #[rpc(timeout = 2, idempotent = true, no_side_effects)]
                async fn connect(mut self, (a, b): (u8, u8), _: &mut u8, #[rpc(secret)] card: str);
            }
        },
        &[
            "invalid or missing value of `timeout`: write `timeout = \"2s\"`",
            "`idempotent` takes no value",
            "`no_side_effects` implies `idempotent`: remove `idempotent`",
            "a method must take its receiver as `&self`",
            "an argument must have a name, which is its field name in JSON: write `name: (u8, u8)`",
            "an argument must have a name, which is its field name in JSON: write `name: &mut u8`",
            "an argument cannot be `&mut`",
            "`str` is not a sized type: write `&str`",
            "a method must return a `Result`, since every call can fail: write `-> Result<()>`",
            "`connect` is reserved for a constructor",
            "`secret` conflicts with `no_side_effects`, which allows `GET`",
        ],
    );
}

#[test]
fn methods_under_cfg_may_share_a_name() {
    assert_errors(
        TokenStream::new(),
        quote! {
            trait Shop {
                #[cfg(unix)]
                async fn path(&self, path: &[u8]) -> Result<()>;
                #[cfg(windows)]
                async fn path(&self, path: &[u16]) -> Result<()>;
            }
        },
        &[],
    );
}

#[test]
fn an_item_that_is_not_a_trait_is_emitted() {
    let expanded = crate::service::rpc_service(
        TokenStream::new(),
        &quote!(
            struct Shop;
        ),
    )
    .to_string();
    assert!(
        expanded.contains("compile_error") && expanded.contains("struct Shop"),
        "{expanded}"
    );
}

#[test]
fn an_invalid_trait_is_emitted_without_rpc_options() {
    let trait_item = quote! {
        trait Shop {
            #[rpc(idempotent)]
            async fn buy(&self, #[rpc(secret)] card: &mut str) -> Result<()>;
        }
    };
    let expanded = crate::service::rpc_service(TokenStream::new(), &trait_item).to_string();
    assert!(
        expanded.contains("trait Shop") && expanded.contains("async fn buy"),
        "{expanded}"
    );
    assert!(!expanded.contains("rpc ("), "{expanded}");
}

#[test]
fn all_errors_of_a_derive_are_reported() {
    let expanded = crate::error::rpc_error(quote! {
        enum PricingError {
            #[rpc(code = "not_fond")]
            NoUser,
            Broken,
            #[rpc(code = "internal", reason = "lower")]
            Store,
        }
    });
    assert_eq!(
        expanded.to_string().matches("compile_error").count(),
        4,
        "{expanded}"
    );
}

#[test]
fn only_own_variants_state_that_nothing_was_done() {
    let expanded = crate::error::rpc_error(quote! {
        enum PricingError {
            #[rpc(code = "unavailable", not_executed)]
            Closed,
            #[rpc(from, not_executed)]
            Store(StoreError),
            #[rpc(other, not_executed)]
            Other(Error),
        }
    });
    let text = expanded.to_string();
    for variant in ["Store", "Other"] {
        let message = format!("`not_executed` comes from the error inside `{variant}`: remove it");
        assert!(text.contains(&message), "{text}");
    }
    assert_eq!(text.matches("compile_error").count(), 2, "{text}");
}

/// The uses of an enum with a mistake are no further errors.
#[test]
fn a_mistake_in_an_enum_causes_no_others() {
    let expand = |variant: TokenStream| {
        let expanded = crate::error::rpc_error(quote! {
            enum OrderError {
                #variant
                #[rpc(other)]
                Other(Error),
            }
        });
        syn::parse2::<syn::File>(expanded.clone()).unwrap();
        expanded.to_string()
    };
    for mistake in [
        quote!(
            #[rpc(from, code = "internal")]
            Store(StoreError),
        ),
        quote!(
            #[rpc(public)]
            Declined,
        ),
        quote!(
            #[rpc(cod = "internal")]
            Declined,
        ),
    ] {
        let text = expand(mistake);
        assert!(text.contains("compile_error"), "{text}");
        for item in [
            "RpcError for OrderError",
            "From < __rpc :: Error > for OrderError",
        ] {
            assert_eq!(text.matches(item).count(), 1, "{item}: {text}");
        }
    }
    // Another derive generates this conversion.
    let text = expand(quote!(
        #[rpc(public)]
        Store(
            #[from]
            StoreError
        ),
    ));
    assert!(!text.contains("From < __rpc :: Error >"), "{text}");
}
