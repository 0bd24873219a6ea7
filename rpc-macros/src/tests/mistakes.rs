//! Refusals without a compiler: how many, in which order, in which words. How they look is in `tests/ui`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::errors::Errors;

/// The beginnings of the messages are enough to tell them apart.
fn assert_mistakes(arguments: TokenStream, contract: TokenStream, beginnings: &[&str]) {
    let mut errors = Errors::default();
    crate::service::read(arguments, syn::parse2(contract).unwrap(), &mut errors);
    let messages = errors.messages();
    assert_eq!(messages.len(), beginnings.len(), "{messages:#?}");
    for (message, beginning) in messages.iter().zip(beginnings) {
        assert!(
            message.starts_with(beginning),
            "{message}\ninstead of\n{beginning}"
        );
    }
}

#[test]
fn nine_mistakes_are_nine_messages_in_source_order() {
    assert_mistakes(
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
            "a service cannot be generic",
            "a service has no associated constants",
            "unknown option `idempotnt` of a method; did you mean `idempotent`?",
            "the methods of a service are asynchronous: write `async fn buy`",
            "calls share the service: write `&self`, and keep",
            "a service cannot change its caller's data",
            "a call can fail on its way, whatever it does: write `-> Result<bool>`",
            "`connect` is taken, since it makes clients",
        ],
    );
}

#[test]
fn the_rules_between_methods_come_in_source_order_too() {
    assert_mistakes(
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
            "`userId` and `user_id` are both `userId` in JSON",
            "`other` and `recv_log` are both `RecvLog` on the wire",
            "a server ends every call after 5 minutes",
            "in message style the argument is the request: `third` needs exactly one",
        ],
    );
}

#[test]
fn a_method_is_looked_at_whole() {
    assert_mistakes(
        TokenStream::new(),
        quote! {
            trait Shop {
                #[rpc(timeout = 2, idempotent = true, no_side_effects)]
                async fn connect(mut self, (a, b): (u8, u8), _: &mut u8, #[rpc(secret)] card: str);
            }
        },
        &[
            "`timeout` takes a value: write `timeout = \"2s\"`",
            "`idempotent` takes no value",
            "`no_side_effects` says this too: remove `idempotent`",
            "calls share the service",
            "an argument's name is a field's name on the wire: write `name: (u8, u8)`",
            "an argument's name is a field's name on the wire: write `name: &mut u8`",
            "a service cannot change its caller's data",
            "`str` has no size of its own: write `&str`",
            "a call can fail on its way, whatever it does: write `-> Result<()>`",
            "`connect` is taken, since it makes clients",
            "a method with `no_side_effects` can be called by `GET`",
        ],
    );
}

#[test]
fn methods_under_different_conditions_may_share_a_name() {
    assert_mistakes(
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
fn what_is_no_trait_is_handed_back() {
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
fn a_refused_trait_is_handed_back_without_our_attributes() {
    let contract = quote! {
        trait Shop {
            #[rpc(idempotent)]
            async fn buy(&self, #[rpc(secret)] card: &mut str) -> Result<()>;
        }
    };
    let expanded = crate::service::rpc_service(TokenStream::new(), &contract).to_string();
    assert!(
        expanded.contains("trait Shop") && expanded.contains("async fn buy"),
        "{expanded}"
    );
    assert!(!expanded.contains("rpc ("), "{expanded}");
}

#[test]
fn mistakes_of_an_error_are_collected_too() {
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
