//! The messages of `greeter.proto`, by serde for the calls and by prost for the detail of an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::proto_json::{Data, Double, Int, Mood};

/// Declares a message, whose fields are left out while they are unset.
macro_rules! messages {
    ($($name:ident { $($field:ident: $kind:ty,)* })*) => {
        $(
            #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub(crate) struct $name {
                $(
                    #[serde(skip_serializing_if = "is_unset")]
                    pub(crate) $field: $kind,
                )*
            }

            impl $name {
                /// Returns the text of each field that is set.
                #[allow(dead_code, reason = "used for the values only")]
                pub(crate) fn seen(&self) -> Vec<String> {
                    let fields: &[(bool, String)] = &[$((
                        is_unset(&self.$field),
                        format!("{}={:?}", stringify!($field), self.$field),
                    ),)*];
                    let set = fields.iter().filter(|(is_unset, _)| !is_unset);
                    set.map(|(_, text)| text.clone()).collect()
                }
            }
        )*
    };
}

messages! {
    Values {
        signed: Int<i64>,
        unsigned: Int<u64>,
        data: Data,
        flag: bool,
        ratio: Double,
        mood: Mood,
        numbers: Vec<Int<i64>>,
        counts: BTreeMap<String, Int<u64>>,
        nickname: Option<String>,
        balance: Option<Int<i64>>,
        token: Option<Data>,
        share: Option<Double>,
        agreed: Option<bool>,
        temper: Option<Mood>,
        person: Option<Person>,
        people: Vec<Person>,
        families: BTreeMap<i64, Person>,
        chunks: Vec<Data>,
        ratios: Vec<Double>,
        moods: Vec<Mood>,
        text: String,
        small: i32,
        positive: u32,
        keys: BTreeMap<bool, Data>,
    }

    EchoResponse {
        values: Values,
        seen: String,
    }

    Call {
        id: String,
    }

    Remaining {
        milliseconds: u32,
    }

    Empty {}
}

/// Nested, so with a `Debug` form of its own.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Person {
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) first_name: String,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) id: Option<Int<u64>>,
    #[serde(skip_serializing_if = "is_unset")]
    pub(crate) parent: Option<Box<Person>>,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({:?}", self.first_name)?;
        if let Some(id) = self.id {
            write!(f, " {id:?}")?;
        }
        if let Some(parent) = &self.parent {
            write!(f, " {parent:?}")?;
        }
        write!(f, ")")
    }
}

/// The definition of an error, and its detail.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(int64, tag = "3")]
    #[serde(deserialize_with = "int64")]
    pub(crate) balance: i64,
    #[prost(bytes = "vec", tag = "4")]
    #[serde(deserialize_with = "bytes")]
    pub(crate) token: Vec<u8>,
}

fn int64<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(Int::deserialize(deserializer)?.0)
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(Data::deserialize(deserializer)?.0.to_vec())
}

fn is_unset<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
