//! The fields of typed errors follow the JSON rules of messages, whatever features of serde_json
//! are on.

use std::collections::BTreeMap;

use rpc_runtime::BigNum;
use rpc_runtime::prelude::*;
use rpc_tests::Running;
use rpc_tests::raw::{Raw, post};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The order of the fields is not that of the alphabet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Balance {
    total: u128,
    id: i64,
    by_day: BTreeMap<i64, Vec<i128>>,
    average: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Step {
    Moved(Option<u64>),
    Split { right: u128, left: i64 },
}

/// serde loses the type of the content if it comes before the tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "zone", content = "at")]
enum Place {
    Number(u128),
    Pair(u64, i128),
    Named { a: u128, b: Option<f64> },
    Nowhere,
}

/// A key that JSON does not have.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    id: u8,
}

/// Fields that are absent in a message if they are `None`.
#[derive(Debug, RpcError)]
enum LimitError {
    #[rpc(code = "aborted", public)]
    Reached {
        limit: Option<f64>,
        left: Option<Option<()>>,
        names: Option<BTreeMap<Key, u8>>,
        day: u8,
    },
    #[rpc(code = "aborted")]
    Twice(Option<Option<Option<u8>>>),
    #[rpc(code = "aborted")]
    Placed(Place, u8),
    #[rpc(other)]
    Other(Error),
}

fn reached() -> LimitError {
    LimitError::Reached {
        limit: Some(0.5),
        left: Some(None),
        names: None,
        day: 3,
    }
}

/// Returns errors that arrive as they are.
fn sendable() -> Vec<LimitError> {
    let places = [
        Place::Number(u128::MAX),
        Place::Pair(u64::MAX, i128::MIN),
        Place::Named {
            a: u128::MAX,
            b: Some(0.1),
        },
        Place::Nowhere,
    ];
    let placed = places.map(|place| LimitError::Placed(place, 1));
    let mut all = vec![
        reached(),
        LimitError::Twice(None),
        LimitError::Twice(Some(None)),
        LimitError::Twice(Some(Some(Some(1)))),
    ];
    all.extend(placed);
    all
}

/// Returns errors with a field that has no form in JSON.
fn unsendable() -> Vec<LimitError> {
    let with = |limit, left, names| LimitError::Reached {
        limit,
        left,
        names,
        day: 3,
    };
    let names = BTreeMap::from([(Key { id: 1 }, 1)]);
    vec![
        with(Some(f64::INFINITY), Some(None), None),
        with(Some(f64::NAN), Some(None), None),
        with(Some(0.5), Some(Some(())), None),
        with(Some(0.5), Some(None), Some(names)),
        LimitError::Twice(Some(Some(None))),
    ]
}

#[derive(Debug, RpcError)]
enum AccountError {
    #[rpc(code = "out_of_range", public)]
    Overdrawn {
        total: u128,
        id: i64,
        digits: BigNum<i128>,
        twice: Option<Option<u32>>,
        missing: Option<Option<u32>>,
        nothing: Option<Value>,
        bytes: Vec<u8>,
        balance: Balance,
        steps: Vec<Step>,
        by_user: BTreeMap<String, u128>,
    },
    #[rpc(code = "out_of_range")]
    Odd { ratios: Vec<f64> },
    #[rpc(other)]
    Other(Error),
}

fn balance() -> Balance {
    Balance {
        total: u128::MAX,
        id: 9_007_199_254_740_993,
        by_day: BTreeMap::from([(-1, vec![i128::MIN]), (i64::MAX, Vec::new())]),
        average: 0.1 + 0.2,
    }
}

fn steps() -> Vec<Step> {
    let (right, left) = (1 << 100, i64::MIN);
    vec![
        Step::Moved(None),
        Step::Moved(Some(u64::MAX)),
        Step::Split { right, left },
    ]
}

#[rpc_service(package = "json_errors.v1")]
trait Accounts {
    async fn overdraw(&self) -> Result<(), AccountError>;
    async fn odd(&self, ratio: f64, is_nan: bool) -> Result<(), AccountError>;
    async fn sendable(&self, index: usize) -> Result<(), LimitError>;
    async fn unsendable(&self, index: usize) -> Result<(), LimitError>;
}

struct Bank;

impl Accounts for Bank {
    async fn overdraw(&self) -> Result<(), AccountError> {
        Err(AccountError::Overdrawn {
            total: u128::MAX,
            id: 9_007_199_254_740_993,
            digits: BigNum(i128::MIN),
            twice: Some(None),
            missing: None,
            nothing: Some(Value::Null),
            bytes: vec![0, 255],
            balance: balance(),
            steps: steps(),
            by_user: BTreeMap::from([("ada".to_owned(), 1 << 64), ("\"é\n".to_owned(), 0)]),
        })
    }

    async fn odd(&self, ratio: f64, is_nan: bool) -> Result<(), AccountError> {
        let last = if is_nan { f64::NAN } else { ratio };
        Err(AccountError::Odd {
            ratios: vec![0.5, last],
        })
    }

    async fn sendable(&self, index: usize) -> Result<(), LimitError> {
        Err(sendable().remove(index))
    }

    async fn unsendable(&self, index: usize) -> Result<(), LimitError> {
        Err(unsendable().remove(index))
    }
}

async fn start() -> Running {
    Running::start(Server::new("bank").add(AccountsServer::new(Bank))).await
}

fn clients(running: &Running) -> [AccountsClient; 2] {
    [
        AccountsClient::connect(&running.url()).unwrap(),
        AccountsClient::local(Bank),
    ]
}

#[tokio::test]
async fn fields_of_errors_keep_their_values() {
    let running = start().await;
    for accounts in clients(&running) {
        let error = accounts.overdraw().await.unwrap_err();
        let AccountError::Overdrawn {
            total,
            id,
            digits,
            twice,
            missing,
            nothing,
            bytes,
            balance: received,
            steps: received_steps,
            by_user,
        } = &*error
        else {
            panic!("{error:?}");
        };
        assert_eq!((*total, *id), (u128::MAX, 9_007_199_254_740_993));
        assert_eq!(digits.0, i128::MIN);
        assert_eq!((twice, missing), (&Some(None), &None));
        assert_eq!(nothing, &Some(Value::Null));
        assert_eq!(bytes, &[0, 255]);
        assert_eq!(received, &balance());
        assert_eq!(received_steps, &steps());
        assert_eq!(by_user["ada"], 1 << 64);
        assert_eq!(by_user["\"é\n"], 0);
    }
}

#[tokio::test]
async fn fields_of_errors_are_written_by_the_rules() {
    let running = start().await;
    let mut raw = Raw::connect(running.address()).await;
    let response = raw
        .ask(post("/json_errors.v1.Accounts/Overdraw", "{}"))
        .await;
    let body = String::from_utf8(response.body).unwrap();
    let expected = r#""debug":{"fields":{"balance":{"total":"340282366920938463463374607431768211455","id":9007199254740993,"by_day":{"-1":["-170141183460469231731687303715884105728"],"9223372036854775807":[]},"average":0.30000000000000004},"by_user":{"\"é\n":"0","ada":"18446744073709551616"},"bytes":"AP8=","digits":"-170141183460469231731687303715884105728","id":9007199254740993,"nothing":null,"steps":[{"Moved":null},{"Moved":18446744073709551615},{"Split":{"right":"1267650600228229401496703205376","left":-9223372036854775808}}],"total":"340282366920938463463374607431768211455","twice":null},"reason":"OVERDRAWN"}"#;
    assert!(body.contains(expected), "{body}");
}

#[tokio::test]
async fn a_float_in_a_field_is_itself_or_refused() {
    let running = start().await;
    for accounts in clients(&running) {
        for sent in [f64::MAX, 5e-324, -0.0, 1e22, 0.1 + 0.7] {
            let error = accounts.odd(sent, false).await.unwrap_err();
            let AccountError::Odd { ratios } = &*error else {
                panic!("{error:?}");
            };
            assert_eq!(ratios[1].to_bits(), sent.to_bits());
        }
        // Not a list with a `null` or another number in it.
        let error = accounts.odd(0.0, true).await.unwrap_err();
        assert_eq!(error.code(), Code::OutOfRange);
        assert!(matches!(&*error, AccountError::Other(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_content_keeps_its_place_after_the_tag() {
    let running = start().await;
    for accounts in clients(&running) {
        for (index, sent) in sendable().into_iter().enumerate() {
            let error = accounts.sendable(index).await.unwrap_err();
            assert_eq!(format!("{:?}", *error), format!("{sent:?}"));
        }
    }
}

#[tokio::test]
async fn an_error_does_not_become_another_one() {
    let running = start().await;
    for accounts in clients(&running) {
        for (index, sent) in unsendable().into_iter().enumerate() {
            let error = accounts.unsendable(index).await.unwrap_err();
            assert_eq!(error.code(), Code::Aborted, "{sent:?}");
            let LimitError::Other(other) = &*error else {
                panic!("{error:?} for {sent:?}");
            };
            assert!(other.reason().is_some(), "{other:?}");
        }
    }
}
