//! Calls of methods whose names are known at run time only.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use super::call::{Call, prepare};
use super::{Client, of_client};
use crate::codec::json::{self, JsonText};
use crate::descriptor::MethodDescriptor;
use crate::error::{Code, Error, Result};
use crate::method::{ReplyCodec, message_reply, text_reply};
use crate::registry;
use crate::streaming::BodyKind;
use crate::sync::MutexExt as _;

/// The maximum number of methods that are not linked into this process. Each takes about 300 bytes
/// to the end of the process.
const MAX_METHODS: usize = 4096;

static REPLY: ReplyCodec<Value, Error> = message_reply::<Result<Value>>();
static TEXT_REPLY: ReplyCodec<JsonText, Error> = text_reply();

/// The descriptor of calls that fail before they have a method.
static UNKNOWN: MethodDescriptor = MethodDescriptor::new("-", "-", "-", "/-/-");

impl Client {
    /// Creates a call of a method that is known by its names at run time only: `service` such as
    /// `shop.v1.Orders`, and `method` as on the wire, such as `Place`.
    ///
    /// `request` is the JSON object of the arguments, and the value is the JSON object of the
    /// response, both as on the wire: a method `place(item, count) -> u32` takes
    /// `{"item": …, "count": …}` and returns `{"result": …}`.
    ///
    /// A service whose trait is linked into this process keeps what its trait says: the timeout of
    /// the method, and whether it may be retried. Any other method is retried only if it was not
    /// executed. A typed error is data: [`Error::reason`] is its variant, and
    /// [`Error::typed_fields`] are its fields.
    ///
    /// ```
    /// use rpc_runtime::prelude::*;
    ///
    /// #[rpc_service(package = "example.v1")]
    /// trait Greeter {
    ///     async fn greet(&self, name: &str) -> Result<String>;
    /// }
    ///
    /// struct English;
    ///
    /// impl Greeter for English {
    ///     async fn greet(&self, name: &str) -> Result<String> {
    ///         Ok(format!("Hello {name}"))
    ///     }
    /// }
    ///
    /// # async fn example() -> Result<()> {
    /// let server = Server::new("greeter").add(GreeterServer::new(English));
    /// let client = server.into_local_client()?;
    /// let request = serde_json::json!({"name": "Ada"});
    /// let response = client.call_json("example.v1.Greeter", "Greet", &request).await?;
    /// assert_eq!(response["result"], "Hello Ada");
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// A [`Value`] lacks what its reader does not keep: the first of two fields with one name, and
    /// digits of a number that is neither a 64-bit integer nor a float.
    /// [`call_json_text`](Self::call_json_text) sends a text as it is.
    ///
    /// The call fails with `invalid_argument` if the names are not valid or `request` is not an
    /// object, and with `resource_exhausted` after 4096 different methods that are not linked into
    /// this process.
    #[track_caller]
    pub fn call_json(&self, service: &str, method: &str, request: &Value) -> Call<Value> {
        let message = match request {
            Value::Object(_) => encode(request),
            _ => Err(invalid("the request must be a JSON object, such as `{}`")),
        };
        let (descriptor, message) = named(service, method, message);
        let message = message.map(|message| BodyKind::Message(message.into()));
        prepare(self, descriptor, None, &REPLY, message)
    }

    /// Creates a call as [`call_json`](Self::call_json) does, whose request is sent as it was
    /// written, and whose response is the text as it was received.
    ///
    /// ```no_run
    /// use rpc_runtime::{Client, JsonText};
    ///
    /// # async fn example(client: &Client) -> rpc_runtime::Result<()> {
    /// let request = JsonText::parse(r#"{"amount": 12345678901234567890.123}"#)?;
    /// let response = client.call_json_text("shop.v1.Orders", "Pay", &request).await?;
    /// println!("{response}");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn call_json_text(
        &self,
        service: &str,
        method: &str,
        request: &JsonText,
    ) -> Call<JsonText> {
        let message = Ok(request.as_str().as_bytes().to_vec());
        let (descriptor, message) = named(service, method, message);
        let message = message.map(|message| BodyKind::Message(message.into()));
        prepare(self, descriptor, None, &TEXT_REPLY, message)
    }
}

/// Returns the descriptor of a method, and the message, which is an error if there is none.
fn named(
    service: &str,
    method: &str,
    message: Result<Vec<u8>>,
) -> (&'static MethodDescriptor, Result<Vec<u8>>) {
    match descriptor(service, method) {
        Ok(descriptor) => (descriptor, message),
        Err(error) => (&UNKNOWN, Err(error)),
    }
}

fn encode(request: &Value) -> Result<Vec<u8>> {
    let mut message = Vec::with_capacity(128);
    json::write_message(request, &mut message)
        .map_err(|error| invalid(format!("failed to encode the request: {error}")))?;
    Ok(message)
}

/// Returns the descriptor of a method: of the linked service, or one with these names.
fn descriptor(service: &str, method: &str) -> Result<&'static MethodDescriptor> {
    static METHODS: Mutex<BTreeMap<String, &'static MethodDescriptor>> =
        Mutex::new(BTreeMap::new());

    let mut linked = registry::services().filter(|known| known.full_name == service);
    let mut linked = linked.next().into_iter().flat_map(|known| known.methods);
    if let Some(linked) = linked.find(|known| known.wire_name == method) {
        return Ok(linked);
    }
    if !service.split('.').all(is_identifier) {
        let text = format!("invalid service `{service}`: expected such as `shop.v1.Orders`");
        return Err(invalid(text));
    }
    if !is_identifier(method) {
        let text = format!("invalid method `{method}`: expected such as `Place`");
        return Err(invalid(text));
    }
    let path = format!("/{service}/{method}");
    let mut methods = METHODS.lock_unpoisoned();
    if let Some(known) = methods.get(&path) {
        return Ok(known);
    }
    if methods.len() >= MAX_METHODS {
        let text = format!("more than {MAX_METHODS} different methods are called by name");
        let error = Error::without_location(Code::ResourceExhausted, text);
        return Err(of_client(error));
    }
    // Lives as long as the process, as the descriptors of linked services do.
    let names = [service, method, &path].map(|name| &*Box::leak(Box::<str>::from(name)));
    let [service, method, leaked] = names;
    let descriptor = MethodDescriptor::new(service, method, method, leaked);
    let descriptor: &'static MethodDescriptor = Box::leak(Box::new(descriptor));
    methods.insert(path, descriptor);
    Ok(descriptor)
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

fn invalid(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    of_client(Error::without_location(Code::InvalidArgument, text))
}
