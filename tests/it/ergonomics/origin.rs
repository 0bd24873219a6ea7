//! The line at which a typed error began: of `fail!`, and of each way out of a method whose
//! implementation has `#[rpc_service]`.

use rpc_runtime::prelude::*;

#[derive(Debug, PartialEq, RpcError)]
enum StockError {
    #[rpc(code = "failed_precondition")]
    SoldOut { left: u32 },
    #[rpc(code = "not_found")]
    NoItem,
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "origin.v1")]
trait Stock {
    async fn take(&self, way: &str) -> Result<u32, StockError>;
    /// The same, in an implementation without the attribute.
    async fn plain(&self, way: &str) -> Result<u32, StockError>;
}

fn check(way: &str) -> Result<u32, StockError> {
    if way == "helper" {
        return Err(StockError::NoItem);
    }
    Ok(7)
}

struct Shelf;

#[rpc_service]
impl Stock for Shelf {
    async fn take(&self, way: &str) -> Result<u32, StockError> {
        let found = check(way)?; // line of `?`
        if way == "return" {
            return Err(StockError::SoldOut { left: 1 }); // line of `return`
        }
        if way == "fail" {
            fail!(StockError::SoldOut { left: 2 }); // line of `fail!`
        }
        // The closure and the block return from elsewhere.
        let closure = |way: &str| -> Result<u32, StockError> {
            let found = check(way)?;
            Ok(found)
        };
        let block = async {
            let found = closure(way)?;
            Ok::<u32, StockError>(found + 1)
        };
        assert_eq!(block.await, Ok(found + 1));
        match way {
            "tail" => Err(StockError::NoItem), // line of the last expression
            "nested" => {
                if found == 7 {
                    check("helper") // line of the nested expression
                } else {
                    Ok(0)
                }
            }
            "text" => fail!(Code::Aborted, "as before"), // line of the text
            _ => Ok(found),
        }
    }

    async fn plain(&self, way: &str) -> Result<u32, StockError> {
        Bare.plain(way).await
    }
}

struct Bare;

impl Stock for Bare {
    async fn take(&self, way: &str) -> Result<u32, StockError> {
        check(way)
    }

    async fn plain(&self, way: &str) -> Result<u32, StockError> {
        if way == "fail" {
            fail!(StockError::SoldOut { left: 3 }); // line of the plain `fail!`
        }
        Err(StockError::NoItem)
    }
}

/// Returns the line of this file with the comment.
fn commented(comment: &str) -> u32 {
    let text = include_str!("origin.rs");
    let at = text.lines().position(|line| line.ends_with(comment));
    u32::try_from(at.unwrap()).unwrap() + 1
}

async fn origin(stock: &StockClient, way: &str) -> Option<u32> {
    let error = stock.take(way).await.unwrap_err();
    let location = error.hops()[0].location.clone();
    location.map(|(file, line)| {
        assert_eq!(file, file!());
        line
    })
}

#[tokio::test]
async fn each_way_out_of_a_method_has_its_line() {
    let stock = StockClient::local(Shelf);
    for (way, comment) in [
        ("helper", "// line of `?`"),
        ("return", "// line of `return`"),
        ("fail", "// line of `fail!`"),
        ("tail", "// line of the last expression"),
        ("nested", "// line of the nested expression"),
        ("text", "// line of the text"),
    ] {
        assert_eq!(origin(&stock, way).await, Some(commented(comment)), "{way}");
    }
    assert_eq!(stock.take("").await.unwrap(), 7);
}

#[tokio::test]
async fn fail_has_its_line_without_the_attribute() {
    let stock = StockClient::local(Bare);
    let error = stock.plain("fail").await.unwrap_err();
    assert_eq!(error, StockError::SoldOut { left: 3 });
    let (_, line) = error.hops()[0].location.clone().unwrap();
    assert_eq!(line, commented("// line of the plain `fail!`"));
    // Without both there is no line.
    let error = stock.plain("").await.unwrap_err();
    assert_eq!(error.hops()[0].location, None);
}

#[tokio::test]
async fn an_error_keeps_no_line_of_an_earlier_one() {
    struct Tries;

    impl Stock for Tries {
        async fn take(&self, way: &str) -> Result<u32, StockError> {
            let caught = async { fail!(StockError::NoItem) };
            let caught: Result<u32, StockError> = caught.await;
            assert_eq!(caught, Err(StockError::NoItem));
            // A dependency's error has the line of its `?`.
            let passed_on = StockClient::local(Bare).take("helper").await;
            if way == "own" {
                return Err(StockError::SoldOut { left: 0 });
            }
            Ok(passed_on?) // line of the passed one
        }

        async fn plain(&self, way: &str) -> Result<u32, StockError> {
            check(way)
        }
    }

    let line = origin(&StockClient::local(Tries), "").await;
    assert_eq!(line, Some(commented("// line of the passed one")));
    assert_eq!(origin(&StockClient::local(Tries), "own").await, None);
}
