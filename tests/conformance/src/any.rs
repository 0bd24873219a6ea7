//! `google.protobuf.Any`: the binary form of a message in a message. In JSON it is the message
//! itself with its type in the field `@type`, so its type must be one that this crate knows.

use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, Value};

use crate::messages::{
    BidiStreamRequest, ClientStreamRequest, Header, IdempotentUnaryRequest,
    IdempotentUnaryResponse, Named, RequestInfo, ServerStreamRequest, UnaryRequest, UnaryResponse,
    UnimplementedRequest,
};

/// The prefix of the types of messages.
const PREFIX: &str = "type.googleapis.com/";

/// Any message.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// The full name of its type, with a prefix.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl Any {
    /// Encodes a message.
    pub fn new<M: Message + Named>(message: &M) -> Self {
        Self::encoded(M::FULL_NAME, message.encode_to_vec())
    }

    /// Creates it from the full name of a type and an encoded message.
    #[must_use]
    pub fn encoded(type_name: &str, value: Vec<u8>) -> Self {
        Self {
            type_url: format!("{PREFIX}{type_name}"),
            value,
        }
    }

    /// Returns the full name of the type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        type_name(&self.type_url)
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// Fails for another type and for a malformed message.
    pub fn decode<M: Message + Named + Default>(&self) -> Result<M, String> {
        if self.type_name() != M::FULL_NAME {
            return Err(format!(
                "expected a {}, got a {}",
                M::FULL_NAME,
                self.type_name()
            ));
        }
        M::decode(&self.value[..]).map_err(|error| error.to_string())
    }
}

fn type_name(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or_default()
}

/// A type that has a JSON form here.
struct JsonType {
    name: &'static str,
    to_json: fn(&[u8]) -> Result<Value, String>,
    from_json: fn(Value) -> Result<Vec<u8>, String>,
}

impl JsonType {
    const fn new<M>() -> Self
    where
        M: Message + Named + Default + Serialize + DeserializeOwned,
    {
        Self {
            name: M::FULL_NAME,
            to_json: |bytes| {
                let message = M::decode(bytes).map_err(|error| error.to_string())?;
                serde_json::to_value(message).map_err(|error| error.to_string())
            },
            from_json: |json| {
                let message: M = serde_json::from_value(json).map_err(|error| error.to_string())?;
                Ok(message.encode_to_vec())
            },
        }
    }

    fn find(type_url: &str) -> Result<&'static Self, String> {
        let name = type_name(type_url);
        let json_type = JSON_TYPES.iter().find(|json_type| json_type.name == name);
        json_type.ok_or_else(|| format!("the type {name} has no JSON form here"))
    }
}

static JSON_TYPES: [JsonType; 10] = [
    JsonType::new::<UnaryRequest>(),
    JsonType::new::<UnaryResponse>(),
    JsonType::new::<IdempotentUnaryRequest>(),
    JsonType::new::<IdempotentUnaryResponse>(),
    JsonType::new::<ServerStreamRequest>(),
    JsonType::new::<ClientStreamRequest>(),
    JsonType::new::<BidiStreamRequest>(),
    JsonType::new::<UnimplementedRequest>(),
    JsonType::new::<RequestInfo>(),
    JsonType::new::<Header>(),
];

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json =
            JsonType::find(&self.type_url).and_then(|json_type| (json_type.to_json)(&self.value));
        let Value::Object(fields) = json.map_err(ser::Error::custom)? else {
            return Err(ser::Error::custom("a message is a JSON object"));
        };
        let mut tagged = Map::new();
        tagged.insert("@type".to_owned(), self.type_url.as_str().into());
        tagged.extend(fields);
        tagged.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::<String, Value>::deserialize(deserializer)?;
        let Some(Value::String(type_url)) = fields.remove("@type") else {
            return Err(de::Error::missing_field("@type"));
        };
        let value =
            JsonType::find(&type_url).and_then(|json_type| (json_type.from_json)(fields.into()));
        Ok(Self {
            value: value.map_err(de::Error::custom)?,
            type_url,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_content() {
        let request = UnaryRequest {
            request_data: vec![0xfb, 0xff],
            ..UnaryRequest::default()
        };
        let json = serde_json::to_value(Any::new(&request)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "@type": "type.googleapis.com/connectrpc.conformance.v1.UnaryRequest",
                "requestData": "+/8=",
            })
        );
        let any: Any = serde_json::from_value(json).unwrap();
        assert_eq!(any.decode(), Ok(request));
        assert!(any.decode::<Header>().is_err());
    }

    #[test]
    fn unknown_types_have_no_json() {
        let unknown = Any::encoded("foo.bar.Baz", Vec::new());
        assert!(serde_json::to_value(unknown).is_err());
        let untyped = serde_json::json!({ "requestData": "" });
        assert!(serde_json::from_value::<Any>(untyped).is_err());
    }
}
