//! Formats a `tracing` event as the text of a record: the message, then the other fields as
//! ` key=value`.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

use crate::context::RequestId;

/// Limit of the text of a record, in bytes, including the truncation note.
pub(super) const TEXT_LIMIT: usize = 64 << 10;

/// Space reserved for the truncation note, in bytes.
const TRUNCATION_NOTE_BYTES: usize = 64;

/// Returns the text of an event and its request ID.
///
/// `request_id` is the id in the context. A field `request_id` with the same value is left out of
/// the text. Without an id in the context, the field provides it.
pub(super) fn format_event(
    event: &Event<'_>,
    request_id: Option<RequestId>,
) -> (String, Option<RequestId>) {
    let mut text = EventFormatter {
        written: BoundedText::default(),
        request_id,
    };
    event.record(&mut text);
    let EventFormatter {
        written,
        request_id,
    } = text;
    let mut written = written.finish();
    if written.is_empty() {
        // The name of an event contains its position: `event src/main.rs:12`.
        written.push_str(event.metadata().name());
    }
    (written, request_id)
}

struct EventFormatter {
    written: BoundedText,
    request_id: Option<RequestId>,
}

impl EventFormatter {
    fn field(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let name = field.name();
        // Fails only if the value's own `fmt` does; the text written until then stays.
        let _ = if name == "message" {
            self.message(value)
        } else {
            let space = if self.written.is_empty() { "" } else { " " };
            write!(self.written, "{space}{name}={value}")
        };
    }

    /// Puts the message first, at whatever position among the fields it is.
    fn message(&mut self, value: fmt::Arguments<'_>) -> fmt::Result {
        if self.written.is_empty() {
            return self.written.write_fmt(value);
        }
        let fields = std::mem::take(&mut self.written);
        let written = self.written.write_fmt(value);
        self.written.append(" ", &fields);
        written
    }
}

impl Visit for EventFormatter {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.field(field, format_args!("{value}")),
            "request_id" if self.is_known(value) => {}
            // Quoted if it could be read as several fields or lines.
            _ if is_plain(value) => self.field(field, format_args!("{value}")),
            _ => self.field(field, format_args!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "request_id" && self.is_known(&format!("{value:?}")) {
            return;
        }
        self.field(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn StdError + 'static)) {
        self.field(field, format_args!("{}", ErrorChain(value)));
    }
}

impl EventFormatter {
    /// Returns whether a `request_id` field can be left out because the record has the same id.
    /// Takes the id from the field if the record has none.
    fn is_known(&mut self, named: &str) -> bool {
        if self.request_id.is_none() {
            self.request_id = RequestId::parse(named).filter(|id| id.as_str() != "-");
        }
        // A context without a request ID displays it as `-`.
        named == "-" || self.request_id.is_some_and(|id| id.as_str() == named)
    }
}

fn is_plain(value: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    !value.is_empty() && value.chars().all(plain)
}

struct ErrorChain<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Text that is cut off at [`TEXT_LIMIT`] and counts the bytes that did not fit, so that no event
/// can use unlimited memory.
#[derive(Default)]
struct BoundedText {
    text: String,
    cut: usize,
}

impl BoundedText {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn append(&mut self, separator: &str, other: &Self) {
        self.push(separator);
        self.push(&other.text);
        self.cut += other.cut;
    }

    fn push(&mut self, more: &str) {
        // After the first cut, nothing is appended.
        let available = if self.cut > 0 {
            0
        } else {
            TEXT_LIMIT - TRUNCATION_NOTE_BYTES - self.text.len()
        };
        let kept = more.floor_char_boundary(available);
        self.text.push_str(&more[..kept]);
        self.cut += more.len() - kept;
    }

    fn finish(mut self) -> String {
        if self.cut > 0 {
            let _ = write!(self.text, "… ({} more bytes)", self.cut);
        }
        self.text
    }
}

impl fmt::Write for BoundedText {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push(more);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// Text and request ID of an event.
    type Captured = (String, Option<String>);

    /// Formats the events that `f` logs.
    fn texts(request_id: Option<&str>, f: impl FnOnce()) -> Vec<Captured> {
        struct Capture {
            known: Option<RequestId>,
            texts: Arc<Mutex<Vec<Captured>>>,
        }
        impl<S: tracing::Subscriber> Layer<S> for Capture {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let (text, id) = format_event(event, self.known);
                let id = id.map(|id| id.to_string());
                self.texts.lock().unwrap().push((text, id));
            }
        }
        let texts = Arc::default();
        let capture = Capture {
            known: request_id.and_then(RequestId::parse),
            texts: Arc::clone(&texts),
        };
        let subscriber = tracing_subscriber::registry().with(capture);
        tracing::subscriber::with_default(subscriber, f);
        std::mem::take(&mut *texts.lock().unwrap())
    }

    fn text(f: impl FnOnce()) -> String {
        texts(None, f).remove(0).0
    }

    #[test]
    fn the_message_comes_first_and_then_the_fields() {
        let written = text(|| tracing::info!(user = "ada", credit = 3, "bought {}", "tea"));
        assert_eq!(written, "bought tea user=ada credit=3");
        let written = text(|| tracing::info!(credit = 3, message = "bought tea"));
        assert_eq!(written, "bought tea credit=3");
        let written = text(|| tracing::info!(credit = 3));
        assert_eq!(written, "credit=3");
        let written = text(|| tracing::info!(ok = true, list = ?[1, 2]));
        assert_eq!(written, "ok=true list=[1, 2]");
    }

    #[test]
    fn an_event_without_text_has_its_position() {
        let written = text(|| tracing::info!({}));
        assert!(written.starts_with("event "), "{written}");
    }

    #[test]
    fn g09_a_value_cannot_look_like_other_fields() {
        let written =
            text(|| tracing::info!(user = "ada role=admin", other = "a\nb", none = "", "in"));
        assert_eq!(written, r#"in user="ada role=admin" other="a\nb" none="""#);
    }

    #[test]
    fn an_error_comes_with_its_causes() {
        let cause = std::io::Error::other("disk full");
        let error = crate::Error::new(crate::Code::Internal, "not saved").with_source(cause);
        let error: &(dyn StdError + 'static) = &error;
        let written = text(|| tracing::info!(error, "oh"));
        assert_eq!(written, "oh error=internal: not saved: disk full");
    }

    #[test]
    fn the_request_is_named_once() {
        let event = || tracing::info!(request_id = "r1", "done");
        let of = |known| texts(known, event).remove(0);
        assert_eq!(of(None), ("done".to_owned(), Some("r1".to_owned())));
        assert_eq!(of(Some("r1")), ("done".to_owned(), Some("r1".to_owned())));
        assert_eq!(
            of(Some("r2")),
            ("done request_id=r1".to_owned(), Some("r2".to_owned()))
        );
        let none = texts(None, || tracing::info!(request_id = "-", "done"));
        assert_eq!(none, [("done".to_owned(), None)]);
        let shown = texts(None, || tracing::info!(request_id = %"r1", "done"));
        assert_eq!(shown, [("done".to_owned(), Some("r1".to_owned()))]);
    }

    #[test]
    fn a_long_text_is_cut_with_a_note() {
        let long = "é".repeat(TEXT_LIMIT);
        let written = text(|| tracing::info!(field = "gone", "{long}"));
        assert!(written.len() <= TEXT_LIMIT, "{}", written.len());
        let kept = written.chars().filter(|c| *c == 'é').count();
        let cut = 2 * (TEXT_LIMIT - kept) + " field=gone".len();
        assert!(
            written.ends_with(&format!("é… ({cut} more bytes)")),
            "{}",
            &written[written.len() - 60..]
        );
    }

    #[test]
    fn a_secret_is_masked() {
        let secret = crate::Secret::new("canary");
        let written = text(|| tracing::info!(%secret, again = ?secret, "in: {secret:?}"));
        assert_eq!(written, "in: *** secret=*** again=***");
    }
}
