//! The body of a request or response.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use crate::streaming::Streaming;

/// An encoded message.
///
/// Guards that a layer gives to [`hold`](Self::hold) are dropped when the body has been sent, read
/// to its end, or dropped.
pub struct Body {
    kind: BodyKind,
    guards: Vec<Box<dyn Any + Send>>,
}

/// The content of a [`Body`].
pub(crate) enum BodyKind {
    /// A single message.
    Message(Bytes),
    /// A stream of messages. Client and server refuse it, so nothing reads it yet.
    #[expect(dead_code, reason = "streams are refused before they are read")]
    Stream(Streaming<Bytes>),
}

impl Body {
    /// Creates a body with one encoded message.
    pub fn message(message: impl Into<Bytes>) -> Self {
        Self {
            kind: BodyKind::Message(message.into()),
            guards: Vec::new(),
        }
    }

    /// Creates a body with a stream of encoded messages.
    ///
    /// Not supported yet: a call or response with such a body fails with `unimplemented` or
    /// `internal`.
    #[doc(hidden)]
    #[must_use]
    pub fn stream(messages: Streaming<Bytes>) -> Self {
        Self {
            kind: BodyKind::Stream(messages),
            guards: Vec::new(),
        }
    }

    /// Returns the message; `None` for a stream.
    #[must_use]
    pub fn as_message(&self) -> Option<&Bytes> {
        match &self.kind {
            BodyKind::Message(message) => Some(message),
            BodyKind::Stream(_) => None,
        }
    }

    /// Returns the message for changes; `None` for a stream.
    #[cfg(feature = "server")]
    pub(crate) fn message_mut(&mut self) -> Option<&mut Bytes> {
        match &mut self.kind {
            BodyKind::Message(message) => Some(message),
            BodyKind::Stream(_) => None,
        }
    }

    /// Keeps a guard, such as a permit or a timer, until the end of this body.
    pub fn hold(&mut self, guard: impl Any + Send) {
        self.guards.push(Box::new(guard));
    }

    /// Removes and returns a guard of this type.
    #[cfg(feature = "server")]
    pub(crate) fn take_held<T: Any + Send>(&mut self) -> Option<T> {
        let place = self.guards.iter().position(|guard| guard.is::<T>())?;
        let guard = self.guards.remove(place).downcast::<T>();
        guard.ok().map(|guard| *guard)
    }

    pub(crate) fn into_parts(self) -> (BodyKind, Guards) {
        (self.kind, Guards(self.guards))
    }

    pub(crate) fn len(&self) -> usize {
        self.as_message().map_or(0, Bytes::len)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            BodyKind::Message(message) => write!(f, "Message({} bytes)", message.len()),
            BodyKind::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl fmt::Debug for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message",
            Self::Stream(_) => "Stream",
        })
    }
}

/// The guards of a body; dropped where the body ends.
#[derive(Default)]
pub(crate) struct Guards(Vec<Box<dyn Any + Send>>);

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guards({})", self.0.len())
    }
}
