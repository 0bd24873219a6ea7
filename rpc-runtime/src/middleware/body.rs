//! The body of a request or response.

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use crate::streaming::{BodyKind, Streaming};

/// An encoded message, or a stream of them.
///
/// Guards that a layer gives to [`hold`](Self::hold) are dropped when the body has been sent, read
/// to its end, or dropped.
pub struct Body {
    kind: BodyKind,
    guards: Vec<Box<dyn Any + Send>>,
}

impl Body {
    /// Creates a body with one encoded message.
    pub fn message(message: impl Into<Bytes>) -> Self {
        BodyKind::Message(message.into()).into()
    }

    /// Creates a body with a stream of encoded messages.
    #[must_use]
    pub fn stream(messages: Streaming<Bytes>) -> Self {
        BodyKind::Stream(messages).into()
    }

    /// Returns the message; `None` for a stream.
    #[must_use]
    pub fn as_message(&self) -> Option<&Bytes> {
        match &self.kind {
            BodyKind::Message(message) => Some(message),
            BodyKind::Stream(_) => None,
        }
    }

    /// Returns the stream for changes; `None` for a single message. A layer that wants to see or
    /// change the messages takes the stream and puts another one in its place, see
    /// [`Streaming::map_messages`].
    #[must_use]
    pub fn as_stream_mut(&mut self) -> Option<&mut Streaming<Bytes>> {
        match &mut self.kind {
            BodyKind::Message(_) => None,
            BodyKind::Stream(stream) => Some(stream),
        }
    }

    /// Returns whether the body is a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        matches!(self.kind, BodyKind::Stream(_))
    }

    /// Returns the message for changes; `None` for a stream.
    #[cfg(feature = "server")]
    pub(crate) fn message_mut(&mut self) -> Option<&mut Bytes> {
        match &mut self.kind {
            BodyKind::Message(message) => Some(message),
            BodyKind::Stream(_) => None,
        }
    }

    /// Returns the content for changes. The guards stay.
    #[cfg(feature = "server")]
    pub(crate) fn kind_mut(&mut self) -> &mut BodyKind {
        &mut self.kind
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

impl From<BodyKind> for Body {
    fn from(kind: BodyKind) -> Self {
        Self {
            kind,
            guards: Vec::new(),
        }
    }
}

/// The guards of a body; dropped where the body ends.
#[derive(Default)]
pub(crate) struct Guards(Vec<Box<dyn Any + Send>>);

impl Guards {
    /// Returns the content with these guards: a stream holds them until its end, and a message has
    /// arrived.
    #[cfg(feature = "client")]
    pub(crate) fn held_by(self, content: BodyKind) -> BodyKind {
        match content {
            BodyKind::Stream(messages) if !self.0.is_empty() => {
                BodyKind::Stream(messages.map_messages(move |message| {
                    let _held = &self;
                    message
                }))
            }
            content => content,
        }
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guards({})", self.0.len())
    }
}
