//! `serde(with = …)` modules for the parts of ProtoJSON that plain serde writes differently.

/// `bytes`: base64.
pub mod bytes {
    use rpc_runtime::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Bytes::from(value.to_vec()).serialize(serializer)
    }

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(Bytes::deserialize(deserializer)?.to_vec())
    }
}

/// Optional `bytes`.
pub mod optional_bytes {
    use rpc_runtime::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[allow(
        missing_docs,
        clippy::ref_option,
        reason = "the interface of `serde(with)`"
    )]
    pub fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.clone().map(Bytes::from).serialize(serializer)
    }

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let value = Option::<Bytes>::deserialize(deserializer)?;
        Ok(value.map(|value| value.to_vec()))
    }
}

/// A list of `bytes`.
pub mod list_of_bytes {
    use rpc_runtime::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn serialize<S: Serializer>(value: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(value.iter().map(|value| Bytes::from(value.clone())))
    }

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let values = Vec::<Bytes>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|value| value.to_vec()).collect())
    }
}

/// Optional `int64`: a decimal string; a number is read as well.
pub mod optional_int64 {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Int64 {
        Number(i64),
        Text(String),
    }

    #[allow(
        missing_docs,
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the interface of `serde(with)`"
    )]
    pub fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(serializer)
    }

    #[allow(missing_docs, reason = "the interface of `serde(with)`")]
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<i64>, D::Error> {
        match Option::<Int64>::deserialize(deserializer)? {
            None => Ok(None),
            Some(Int64::Number(number)) => Ok(Some(number)),
            Some(Int64::Text(text)) => text.parse().map(Some).map_err(de::Error::custom),
        }
    }
}

/// The names of the values of an enum, for ProtoJSON.
pub trait Names {
    /// Name and number of each value.
    const NAMES: &'static [(&'static str, i32)];
}

/// Enums as `i32`: the name of the value, or its number where it has no name.
pub mod enumeration {
    use std::marker::PhantomData;

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::Names;

    /// The values of the enum `E`.
    #[derive(Debug)]
    pub struct Of<E>(PhantomData<E>);

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum NameOrNumber {
        Number(i32),
        Name(String),
    }

    impl<E: Names> Of<E> {
        #[allow(
            missing_docs,
            clippy::missing_errors_doc,
            clippy::trivially_copy_pass_by_ref,
            reason = "the interface of `serde(with)`"
        )]
        pub fn serialize<S: Serializer>(value: &i32, serializer: S) -> Result<S::Ok, S::Error> {
            match E::NAMES.iter().find(|entry| entry.1 == *value) {
                Some((name, _)) => name.serialize(serializer),
                None => value.serialize(serializer),
            }
        }

        #[allow(
            missing_docs,
            clippy::missing_errors_doc,
            reason = "the interface of `serde(with)`"
        )]
        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
            Ok(match NameOrNumber::deserialize(deserializer)? {
                NameOrNumber::Number(number) => number,
                NameOrNumber::Name(name) => {
                    let known = E::NAMES.iter().find(|entry| entry.0 == name);
                    known.map_or(0, |entry| entry.1)
                }
            })
        }
    }
}
