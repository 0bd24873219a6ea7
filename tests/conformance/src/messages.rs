//! The messages of `connectrpc.conformance.v1`, in the order of its `.proto` files. The comments
//! there apply. A oneof is several optional fields, of which at most one is set.

use prost::Message;
use rpc_runtime::Metadata;
use serde::{Deserialize, Serialize};

use crate::any::Any;
use crate::json::{self, Names, enumeration};

/// The full name of a message.
pub trait Named {
    /// The name with its package.
    const FULL_NAME: &'static str;
}

macro_rules! names {
    ($($message:ty => $name:literal),* $(,)?) => {
        $(impl Named for $message {
            const FULL_NAME: &'static str = concat!("connectrpc.conformance.v1.", $name);
        })*
    };
}

names! {
    UnaryRequest => "UnaryRequest",
    UnaryResponse => "UnaryResponse",
    IdempotentUnaryRequest => "IdempotentUnaryRequest",
    IdempotentUnaryResponse => "IdempotentUnaryResponse",
    ServerStreamRequest => "ServerStreamRequest",
    ServerStreamResponse => "ServerStreamResponse",
    ClientStreamRequest => "ClientStreamRequest",
    ClientStreamResponse => "ClientStreamResponse",
    BidiStreamRequest => "BidiStreamRequest",
    BidiStreamResponse => "BidiStreamResponse",
    UnimplementedRequest => "UnimplementedRequest",
    RequestInfo => "ConformancePayload.RequestInfo",
    Header => "Header",
}

macro_rules! messages {
    ($($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty),* $(,)? })*) => {
        $(
            $(#[$about])*
            #[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            #[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
            pub struct $name {
                $($(#[$field_about])* pub $field: $kind,)*
            }
        )*
    };
}

// service.proto
messages! {
    /// The response that a handler is to give.
    UnaryResponseDefinition {
        #[prost(message, repeated, tag = "1")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        response_headers: Vec<Header>,
        #[prost(bytes = "vec", optional, tag = "2")]
        #[serde(with = "json::optional_bytes", skip_serializing_if = "Option::is_none")]
        response_data: Option<Vec<u8>>,
        #[prost(message, optional, tag = "3")]
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Error>,
        #[prost(message, repeated, tag = "4")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        response_trailers: Vec<Header>,
        #[prost(uint32, tag = "6")]
        #[serde(skip_serializing_if = "is_default")]
        response_delay_ms: u32,
        #[prost(message, optional, tag = "5")]
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_response: Option<RawHttpResponse>,
    }

    UnaryRequest {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        response_definition: Option<UnaryResponseDefinition>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        request_data: Vec<u8>,
    }

    UnaryResponse {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<ConformancePayload>,
    }

    IdempotentUnaryRequest {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        response_definition: Option<UnaryResponseDefinition>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        request_data: Vec<u8>,
    }

    IdempotentUnaryResponse {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<ConformancePayload>,
    }

    /// The responses that a handler is to give.
    StreamResponseDefinition {
        #[prost(message, repeated, tag = "1")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        response_headers: Vec<Header>,
        #[prost(bytes = "vec", repeated, tag = "2")]
        #[serde(with = "json::list_of_bytes", skip_serializing_if = "Vec::is_empty")]
        response_data: Vec<Vec<u8>>,
        #[prost(uint32, tag = "3")]
        #[serde(skip_serializing_if = "is_default")]
        response_delay_ms: u32,
        #[prost(message, optional, tag = "4")]
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Error>,
        #[prost(message, repeated, tag = "5")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        response_trailers: Vec<Header>,
        #[prost(message, optional, tag = "6")]
        #[serde(skip_serializing_if = "Option::is_none")]
        raw_response: Option<RawHttpResponse>,
    }

    ServerStreamRequest {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        response_definition: Option<StreamResponseDefinition>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        request_data: Vec<u8>,
    }

    ServerStreamResponse {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<ConformancePayload>,
    }

    ClientStreamRequest {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        response_definition: Option<UnaryResponseDefinition>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        request_data: Vec<u8>,
    }

    ClientStreamResponse {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<ConformancePayload>,
    }

    BidiStreamRequest {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        response_definition: Option<StreamResponseDefinition>,
        #[prost(bool, tag = "2")]
        #[serde(skip_serializing_if = "is_default")]
        full_duplex: bool,
        #[prost(bytes = "vec", tag = "3")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        request_data: Vec<u8>,
    }

    BidiStreamResponse {
        #[prost(message, optional, tag = "1")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<ConformancePayload>,
    }

    UnimplementedRequest {}

    UnimplementedResponse {}

    ConformancePayload {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(with = "json::bytes", skip_serializing_if = "Vec::is_empty")]
        data: Vec<u8>,
        #[prost(message, optional, tag = "2")]
        #[serde(skip_serializing_if = "Option::is_none")]
        request_info: Option<RequestInfo>,
    }

    /// The request as the server received it.
    RequestInfo {
        #[prost(message, repeated, tag = "1")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        request_headers: Vec<Header>,
        #[prost(int64, optional, tag = "2")]
        #[serde(with = "json::optional_int64", skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<i64>,
        #[prost(message, repeated, tag = "3")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        requests: Vec<Any>,
        #[prost(message, optional, tag = "4")]
        #[serde(skip_serializing_if = "Option::is_none")]
        connect_get_info: Option<ConnectGetInfo>,
    }

    ConnectGetInfo {
        #[prost(message, repeated, tag = "1")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        query_params: Vec<Header>,
    }

    Error {
        #[prost(enumeration = "Code", tag = "1")]
        #[serde(with = "enumeration::Of::<Code>")]
        code: i32,
        #[prost(string, optional, tag = "2")]
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[prost(message, repeated, tag = "3")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        details: Vec<Any>,
    }

    Header {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, repeated, tag = "2")]
        value: Vec<String>,
    }

    MessageContents {
        #[prost(bytes = "vec", optional, tag = "1")]
        #[serde(with = "json::optional_bytes", skip_serializing_if = "Option::is_none")]
        binary: Option<Vec<u8>>,
        #[prost(string, optional, tag = "2")]
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[prost(message, optional, tag = "3")]
        #[serde(skip_serializing_if = "Option::is_none")]
        binary_message: Option<Any>,
        #[prost(enumeration = "Compression", tag = "4")]
        #[serde(with = "enumeration::Of::<Compression>", skip_serializing_if = "is_default")]
        compression: i32,
    }

    StreamContents {
        #[prost(message, repeated, tag = "1")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<StreamItem>,
    }

    StreamItem {
        #[prost(uint32, tag = "1")]
        #[serde(skip_serializing_if = "is_default")]
        flags: u32,
        #[prost(uint32, optional, tag = "2")]
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u32>,
        #[prost(message, optional, tag = "3")]
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<MessageContents>,
    }

    /// Bytes that the reference server sends instead of a response of the protocol.
    RawHttpResponse {
        #[prost(uint32, tag = "1")]
        #[serde(skip_serializing_if = "is_default")]
        status_code: u32,
        #[prost(message, repeated, tag = "2")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        headers: Vec<Header>,
        #[prost(message, optional, tag = "3")]
        #[serde(skip_serializing_if = "Option::is_none")]
        unary: Option<MessageContents>,
        #[prost(message, optional, tag = "4")]
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<StreamContents>,
        #[prost(message, repeated, tag = "5")]
        #[serde(skip_serializing_if = "Vec::is_empty")]
        trailers: Vec<Header>,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

// client_compat.proto and server_compat.proto: between the runner and the programs, protobuf only.

/// A call that the client under test is to make.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct ClientCompatRequest {
    #[prost(string, tag = "1")]
    pub test_name: String,
    #[prost(enumeration = "HttpVersion", tag = "2")]
    pub http_version: i32,
    #[prost(enumeration = "Protocol", tag = "3")]
    pub protocol: i32,
    #[prost(enumeration = "Codec", tag = "4")]
    pub codec: i32,
    #[prost(enumeration = "Compression", tag = "5")]
    pub compression: i32,
    #[prost(string, tag = "6")]
    pub host: String,
    #[prost(uint32, tag = "7")]
    pub port: u32,
    #[prost(bytes = "vec", tag = "8")]
    pub server_tls_cert: Vec<u8>,
    #[prost(uint32, tag = "10")]
    pub message_receive_limit: u32,
    #[prost(string, optional, tag = "11")]
    pub service: Option<String>,
    #[prost(string, optional, tag = "12")]
    pub method: Option<String>,
    #[prost(enumeration = "StreamType", tag = "13")]
    pub stream_type: i32,
    #[prost(bool, tag = "14")]
    pub use_get_http_method: bool,
    #[prost(message, repeated, tag = "15")]
    pub request_headers: Vec<Header>,
    #[prost(message, repeated, tag = "16")]
    pub request_messages: Vec<Any>,
    #[prost(uint32, optional, tag = "17")]
    pub timeout_ms: Option<u32>,
    #[prost(uint32, tag = "18")]
    pub request_delay_ms: u32,
    #[prost(message, optional, tag = "19")]
    pub cancel: Option<Cancel>,
}

/// The moment at which the client under test is to cancel the call. One of the fields is set.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct Cancel {
    #[prost(message, optional, tag = "1")]
    pub before_close_send: Option<UnimplementedRequest>,
    #[prost(uint32, optional, tag = "2")]
    pub after_close_send_ms: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub after_num_responses: Option<u32>,
}

/// The outcome of a call. One of `response` and `error` is set.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct ClientCompatResponse {
    #[prost(string, tag = "1")]
    pub test_name: String,
    #[prost(message, optional, tag = "2")]
    pub response: Option<ClientResponseResult>,
    /// The reason for which the call could not be made.
    #[prost(message, optional, tag = "3")]
    pub error: Option<ClientErrorResult>,
}

/// Outcome of a call, as the client under test received it.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct ClientResponseResult {
    #[prost(message, repeated, tag = "1")]
    pub response_headers: Vec<Header>,
    #[prost(message, repeated, tag = "2")]
    pub payloads: Vec<ConformancePayload>,
    #[prost(message, optional, tag = "3")]
    pub error: Option<Error>,
    #[prost(message, repeated, tag = "4")]
    pub response_trailers: Vec<Header>,
    #[prost(int32, tag = "5")]
    pub num_unsent_requests: i32,
}

/// Reason for a call that could not be made.
#[derive(Clone, PartialEq, Message)]
pub struct ClientErrorResult {
    /// The reason.
    #[prost(string, tag = "1")]
    pub message: String,
}

/// Settings for the server under test.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct ServerCompatRequest {
    #[prost(enumeration = "Protocol", tag = "1")]
    pub protocol: i32,
    #[prost(enumeration = "HttpVersion", tag = "2")]
    pub http_version: i32,
    #[prost(bool, tag = "4")]
    pub use_tls: bool,
    #[prost(uint32, tag = "6")]
    pub message_receive_limit: u32,
}

/// Address of the server under test.
#[derive(Clone, PartialEq, Message)]
#[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
pub struct ServerCompatResponse {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(uint32, tag = "2")]
    pub port: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub pem_cert: Vec<u8>,
}

macro_rules! enums {
    ($($(#[$about:meta])* $name:ident { $($variant:ident = $number:literal $text:literal),* $(,)? })*) => {
        $(
            $(#[$about])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
            #[repr(i32)]
            #[allow(missing_docs, reason = "documented in the suite's `.proto` files")]
            pub enum $name {
                $($variant = $number,)*
            }

            impl Names for $name {
                const NAMES: &'static [(&'static str, i32)] = &[$(($text, $number),)*];
            }
        )*
    };
}

impl Header {
    /// Returns the entries of metadata, with the values of a name together.
    #[must_use]
    pub fn all(metadata: &Metadata) -> Vec<Self> {
        let mut headers: Vec<Self> = Vec::new();
        for (name, value) in metadata.iter() {
            match headers.iter_mut().find(|header| header.name == name) {
                Some(header) => header.value.push(value.to_owned()),
                None => headers.push(Self {
                    name: name.to_owned(),
                    value: vec![value.to_owned()],
                }),
            }
        }
        headers
    }
}

// config.proto
enums! {
    HttpVersion {
        Unspecified = 0 "HTTP_VERSION_UNSPECIFIED",
        Http1 = 1 "HTTP_VERSION_1",
        Http2 = 2 "HTTP_VERSION_2",
        Http3 = 3 "HTTP_VERSION_3",
    }

    Protocol {
        Unspecified = 0 "PROTOCOL_UNSPECIFIED",
        Connect = 1 "PROTOCOL_CONNECT",
        Grpc = 2 "PROTOCOL_GRPC",
        GrpcWeb = 3 "PROTOCOL_GRPC_WEB",
    }

    StreamType {
        Unspecified = 0 "STREAM_TYPE_UNSPECIFIED",
        Unary = 1 "STREAM_TYPE_UNARY",
        ClientStream = 2 "STREAM_TYPE_CLIENT_STREAM",
        ServerStream = 3 "STREAM_TYPE_SERVER_STREAM",
        HalfDuplexBidiStream = 4 "STREAM_TYPE_HALF_DUPLEX_BIDI_STREAM",
        FullDuplexBidiStream = 5 "STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM",
    }

    Codec {
        Unspecified = 0 "CODEC_UNSPECIFIED",
        Proto = 1 "CODEC_PROTO",
        Json = 2 "CODEC_JSON",
    }

    Compression {
        Unspecified = 0 "COMPRESSION_UNSPECIFIED",
        Identity = 1 "COMPRESSION_IDENTITY",
        Gzip = 2 "COMPRESSION_GZIP",
        Br = 3 "COMPRESSION_BR",
        Zstd = 4 "COMPRESSION_ZSTD",
        Deflate = 5 "COMPRESSION_DEFLATE",
        Snappy = 6 "COMPRESSION_SNAPPY",
    }

    Code {
        Unspecified = 0 "CODE_UNSPECIFIED",
        Canceled = 1 "CODE_CANCELED",
        Unknown = 2 "CODE_UNKNOWN",
        InvalidArgument = 3 "CODE_INVALID_ARGUMENT",
        DeadlineExceeded = 4 "CODE_DEADLINE_EXCEEDED",
        NotFound = 5 "CODE_NOT_FOUND",
        AlreadyExists = 6 "CODE_ALREADY_EXISTS",
        PermissionDenied = 7 "CODE_PERMISSION_DENIED",
        ResourceExhausted = 8 "CODE_RESOURCE_EXHAUSTED",
        FailedPrecondition = 9 "CODE_FAILED_PRECONDITION",
        Aborted = 10 "CODE_ABORTED",
        OutOfRange = 11 "CODE_OUT_OF_RANGE",
        Unimplemented = 12 "CODE_UNIMPLEMENTED",
        Internal = 13 "CODE_INTERNAL",
        Unavailable = 14 "CODE_UNAVAILABLE",
        DataLoss = 15 "CODE_DATA_LOSS",
        Unauthenticated = 16 "CODE_UNAUTHENTICATED",
    }
}
