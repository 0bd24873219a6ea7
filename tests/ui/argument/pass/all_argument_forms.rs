//! All argument forms are encoded by the client and decoded by the server.

use rpc_runtime::{Result, rpc_service};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
}

#[rpc_service]
trait Shapes {
    async fn owned(&self, text: String, list: Vec<Item>, maybe: Option<Item>, pair: (u8, char)) -> Result<String>;

    async fn borrowed(&self, text: &str, slice: &[Item], item: &Item, list: &Vec<u8>) -> Result<String>;

    async fn maybe(&self, text: Option<&str>, slice: Option<&[u8]>, item: Option<&Item>) -> Result<String>;

    async fn paths(&self, text: std::option::Option<&str>, item: &self::Item, count: std::num::NonZeroU8) -> Result<String>;

    async fn defaults(
        &self,
        #[rpc(default)] text: &str,
        #[rpc(default)] slice: &[u8],
        #[rpc(default, secret)] item: Item,
    ) -> Result<String>;
}

struct Text;

impl Shapes for Text {
    async fn owned(&self, text: String, list: Vec<Item>, maybe: Option<Item>, pair: (u8, char)) -> Result<String> {
        Ok(format!("{text:?} {list:?} {maybe:?} {pair:?}"))
    }

    async fn borrowed(&self, text: &str, slice: &[Item], item: &Item, list: &Vec<u8>) -> Result<String> {
        Ok(format!("{text:?} {slice:?} {item:?} {list:?}"))
    }

    async fn maybe(&self, text: Option<&str>, slice: Option<&[u8]>, item: Option<&Item>) -> Result<String> {
        Ok(format!("{text:?} {slice:?} {item:?}"))
    }

    async fn paths(&self, text: Option<&str>, item: &Item, count: std::num::NonZeroU8) -> Result<String> {
        Ok(format!("{text:?} {item:?} {count:?}"))
    }

    async fn defaults(&self, text: &str, slice: &[u8], item: Item) -> Result<String> {
        Ok(format!("{text:?} {slice:?} {item:?}"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let remote = ShapesClient::local(Text);
    let here = Text;
    let item = Item { name: "tea".to_owned() };
    let items = [item.clone(), Item::default()];
    assert_eq!(
        remote.owned("a".to_owned(), items.to_vec(), None, (1, 'x')).await.unwrap(),
        here.owned("a".to_owned(), items.to_vec(), None, (1, 'x')).await.unwrap(),
    );
    assert_eq!(
        remote.borrowed("a", &items, &item, &vec![1, 2]).await.unwrap(),
        here.borrowed("a", &items, &item, &vec![1, 2]).await.unwrap(),
    );
    for (text, slice, lent) in [(None, None, None), (Some("a"), Some(&[1, 2][..]), Some(&item))] {
        assert_eq!(
            remote.maybe(text, slice, lent).await.unwrap(),
            here.maybe(text, slice, lent).await.unwrap(),
        );
    }
    let count = std::num::NonZeroU8::MIN;
    assert_eq!(
        remote.paths(None, &item, count).await.unwrap(),
        here.paths(None, &item, count).await.unwrap(),
    );
    assert_eq!(
        remote.defaults("", &[7], item.clone()).await.unwrap(),
        here.defaults("", &[7], item.clone()).await.unwrap(),
    );
}
