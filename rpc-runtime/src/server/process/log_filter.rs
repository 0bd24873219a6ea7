//! The filter of the log on stderr: `RUST_LOG`, and what of it was not understood.

use std::ffi::OsStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::logs::directive::{self, UnusualWord};

/// The filter of a server without `RUST_LOG`.
pub(super) const DEFAULT: &str = "info";

/// Target of the notes on `RUST_LOG`, which the filter always allows.
pub(super) const NOTES_TARGET: &str = "rpc::rust_log";

/// The filter of a process's log on stderr, and notes for the operator.
#[derive(Debug, Clone)]
pub struct LogFilter {
    /// The directives that were understood, comma-separated.
    directives: String,
    /// The directives that apply if no other one does.
    default: &'static str,
    is_default: bool,
    /// The parts that were not understood, and what was done instead.
    notes: Vec<String>,
}

impl LogFilter {
    /// Reads `RUST_LOG`. `default` are the directives that apply if it has none.
    #[must_use]
    pub fn from_environment(default: &'static str) -> Self {
        let program = directive::program_name();
        let variable = std::env::var_os("RUST_LOG");
        Self::parse(variable.as_deref(), program.as_deref(), default)
    }

    /// Returns the directives that were understood, comma-separated; `None` if the default applies.
    #[must_use]
    pub fn understood(&self) -> Option<&str> {
        (!self.is_default).then_some(&self.directives)
    }

    /// Returns what was not understood, and what was done instead. It begins with the name of the
    /// variable.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Parses the value of `RUST_LOG`. Directives that are not understood are left out; if no other
    /// one is left, the default applies. `program` is the name of the running program, which is
    /// usually a target.
    fn parse(variable: Option<&OsStr>, program: Option<&str>, default: &'static str) -> Self {
        let mut filter = Self {
            directives: String::new(),
            default,
            is_default: false,
            notes: Vec::new(),
        };
        let mut is_selective = false;
        match variable.map(OsStr::to_str) {
            None => {}
            Some(None) => filter.note("it is not valid UTF-8"),
            Some(Some(text)) => {
                for part in directive::split(text) {
                    is_selective |= filter.add(part, program);
                }
            }
        }
        if !is_selective {
            filter.is_default = true;
            filter.push(default);
            if !filter.notes.is_empty() {
                filter.note(&format!("using the default, `{default}`"));
            }
        }
        filter
    }

    /// Adds a directive, or a note. Returns whether the directive certainly means what it says.
    fn add(&mut self, part: &str, program: Option<&str>) -> bool {
        let shown = directive::shown(part);
        let parsed = directive::check(part).and_then(|()| {
            let parsed = part.parse::<Directive>();
            parsed.map(drop).map_err(|error| error.to_string())
        });
        if let Err(problem) = parsed {
            self.note(&format!("`{shown}` was left out: {problem}"));
            return false;
        }
        let Some(word) = directive::unusual_word(part, program) else {
            self.push(part);
            return true;
        };
        // The same, so that a process that gets these directives does not repeat the note.
        self.push(&format!("{part}=trace"));
        match word {
            UnusualWord::Level(level) => {
                self.note(&format!(
                    "`{shown}` is not a level; did you mean `{level}`?"
                ));
                false
            }
            UnusualWord::Target => {
                self.note(&format!(
                    "`{shown}` is not a level, so it selects all events of the target `{shown}`; \
                     the levels are error, warn, info, debug, trace and off"
                ));
                true
            }
        }
    }

    fn push(&mut self, directive: &str) {
        if !self.directives.is_empty() {
            self.directives.push(',');
        }
        self.directives.push_str(directive);
    }

    fn note(&mut self, text: &str) {
        self.notes.push(format!("RUST_LOG: {text}"));
    }

    /// Returns the filter. If there are notes, it allows them.
    #[must_use]
    pub fn build(&self) -> EnvFilter {
        // Each directive was parsed before.
        let filter = EnvFilter::try_new(&self.directives);
        let filter = filter.unwrap_or_else(|_| EnvFilter::new(self.default));
        let notes = format!("{NOTES_TARGET}=warn").parse();
        match (self.notes.is_empty(), notes) {
            (false, Ok(notes)) => filter.add_directive(notes),
            _ => filter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LogFilter {
        LogFilter::parse(Some(text.as_ref()), Some("shop"), DEFAULT)
    }

    #[test]
    fn what_is_understood_is_used_without_a_note() {
        for text in [
            "info",
            "INFO",
            "off",
            "3",
            "debug,rpc=warn",
            "rpc",
            "shop",
            "my_crate",
            "shop::orders",
            "a-b.c/d=trace",
            "shop[call{method=Get}]=debug",
            "[call]=debug",
            "info, rpc=warn",
            "info,,rpc=warn,",
        ] {
            let filter = parse(text);
            assert_eq!(filter.notes, [""; 0], "{text}");
            let expected: Vec<_> = text.split(',').map(str::trim).collect();
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect();
            assert_eq!(filter.understood(), Some(&*expected.join(",")));
            let _ = filter.build();
        }
        for unset in [None, Some("")] {
            let filter = LogFilter::parse(unset.map(OsStr::new), None, DEFAULT);
            assert_eq!(
                (filter.directives.as_str(), filter.notes.len()),
                (DEFAULT, 0)
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_noted() {
        for (text, directives, note) in [
            ("infoo", "infoo=trace,info", "did you mean `info`?"),
            ("warning", "warning=trace,info", "did you mean `warn`?"),
            ("verbose", "verbose=trace,info", "did you mean `debug`?"),
            ("loud", "loud=trace", "the target `loud`"),
            ("info,rpc=wrn", "info", "did you mean `warn`?"),
            ("rpc=wrn", "info", "did you mean `warn`?"),
            ("rpc=", "info", "`` is not a level"),
            ("rpc==debug", "info", "did you mean `debug`?"),
            ("=debug", "info", "expected a level"),
            ("rpc:debug", "info", "expected `TARGET=LEVEL`"),
            ("info;rpc=debug", "info", "separated by commas"),
            ("info rpc=debug", "info", "separated by commas"),
            ("*=debug", "info", "separated by commas"),
            ("debug,[call", "debug", "`[call` was left out"),
            ("rpc=debug,sqlx=lots", "rpc=debug", "the levels are"),
            ("\u{1b}[31m=info", "info", "\\u{1b}"),
        ] {
            let filter = parse(text);
            assert_eq!(filter.directives, directives, "{text}");
            assert!(filter.notes[0].contains(note), "{text}: {:?}", filter.notes);
            assert!(!filter.notes.concat().contains('\u{1b}'), "{text}");
            assert!(filter.build().to_string().contains(NOTES_TARGET), "{text}");
            let again = parse(filter.understood().unwrap_or_default());
            assert_eq!(again.notes, [""; 0], "{text}");
        }
    }

    #[test]
    fn a_program_has_its_own_default() {
        for (text, understood, notes) in [
            ("", None, &[][..]),
            (" , ", None, &[]),
            ("debug", Some("debug"), &[]),
            (
                "infoo",
                None,
                &[
                    "RUST_LOG: `infoo` is not a level; did you mean `info`?",
                    "RUST_LOG: using the default, `error`",
                ],
            ),
        ] {
            let filter = LogFilter::parse(Some(text.as_ref()), None, "error");
            assert_eq!(filter.understood(), understood, "{text}");
            assert_eq!(filter.notes(), notes, "{text}");
            let built = filter.build().to_string();
            assert_eq!(built.contains("error"), understood.is_none(), "{built}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_noted() {
        use std::os::unix::ffi::OsStrExt as _;

        let filter = LogFilter::parse(Some(OsStr::from_bytes(b"info\xff")), None, DEFAULT);
        assert_eq!(filter.directives, DEFAULT);
        assert!(filter.notes[0].contains("UTF-8"), "{:?}", filter.notes);
    }
}
