//! Statics, constants and unit structs beside a service may have the names of variables in the
//! expansion.

#![deny(warnings)]
#![allow(non_camel_case_types, non_upper_case_globals)]

use rpc_runtime::{Context, Error, Result, RpcError, rpc_service};

pub static client: u8 = 1;
pub static url: &str = "http://127.0.0.1:9";
pub static service: u8 = 2;
pub static value: u8 = 3;
pub static context: u8 = 4;
pub static text: u8 = 5;
pub static routes: u8 = 6;
pub static f: u8 = 7;
pub const error: u8 = 8;
pub const inner: u8 = 9;
pub const remote: u8 = 10;
pub const payload: u8 = 11;
pub struct known;
pub struct field0;
pub static reason: u8 = 12;

#[allow(non_snake_case)]
#[derive(Debug, RpcError)]
pub enum ShopError {
    #[rpc(code = "aborted")]
    Refused {
        value: u8,
        text: String,
        limitMax: u8,
        r#type: u8,
        #[rpc(skip)]
        error: Option<std::io::Error>,
    },
    #[rpc(code = "aborted")]
    Tuple(u8, u8),
    #[rpc(from)]
    Other2(OtherError),
    #[rpc(other)]
    Other(Error),
}

#[derive(Debug, RpcError)]
pub enum OtherError {
    #[rpc(code = "not_found")]
    Missing,
    #[rpc(other)]
    Other(Error),
}

#[rpc_service]
pub trait Shop {
    async fn buy(&self, ctx: &Context, amount: u8) -> Result<u8, ShopError>;
    async fn ask(&self, name: &str) -> Result<String>;
}

struct Echo;

impl Shop for Echo {
    async fn buy(&self, _: &Context, amount: u8) -> Result<u8, ShopError> {
        Err(match amount {
            0 => ShopError::Refused {
                value,
                text: "full".to_owned(),
                limitMax: 1,
                r#type: 2,
                error: None,
            },
            1 => ShopError::Tuple(client, service),
            2 => ShopError::Other2(OtherError::Missing),
            _ => return Ok(amount + routes + context + f + text + reason + error),
        })
    }

    async fn ask(&self, name: &str) -> Result<String> {
        Ok(name.to_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert!(ShopClient::connect(url).is_ok());
    let shop = ShopClient::local(Echo);
    let failed = shop.buy(0).await.unwrap_err();
    let ShopError::Refused { value: received, text: full, limitMax: 1, r#type: 2, .. } = &*failed else {
        panic!("{failed:?}");
    };
    assert_eq!((*received, full.as_str()), (value, "full"));
    assert!(matches!(&*shop.buy(1).await.unwrap_err(), ShopError::Tuple(1, 2)));
    assert!(matches!(&*shop.buy(2).await.unwrap_err(), ShopError::Other2(OtherError::Missing)));
    let sum = inner + remote + payload;
    let (known, field0) = (known, field0);
    let _: (known, field0) = (known, field0);
    assert_eq!(shop.buy(sum).await.unwrap(), sum + 42);
    assert_eq!(shop.ask("ada").await.unwrap(), "ada");
}
