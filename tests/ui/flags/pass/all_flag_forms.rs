//! Flags of all types, with all options, at all positions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Fast,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fast" => Ok(Self::Fast),
            _ => Err("no such mode".to_owned()),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fast")
    }
}

fn ignore<T>(_: &T, _: &T) {}

rpc_runtime::flag! {
    /// One.
    pub static A_BOOL: bool = true, dynamic, notify = ignore;
    /// Two.
    /// Lines.
    pub(crate) static AN_I8: i8 = -1, validate = range(-2..);
    #[doc = "Three."]
    static A_RATE: f64 = 0.5, dynamic, secret, name = "rate", validate = |rate: &f64| if *rate < 1.0 { Ok(()) } else { Err("too much".to_owned()) },;
    /// Four.
    static LETTERS: Vec<String> = vec!["a".to_owned()], validate = one_of(["a", "b"]);
    /// Five.
    static MODE: Mode = Mode::Fast, dynamic;
    /// Six.
    static PAUSE: Duration = Duration::from_millis(5), validate = range(Duration::ZERO..=Duration::from_secs(1));
    /// Seven.
    static TEXT: String = String::from("text"), validate = not_empty();
}

fn main() {
    rpc_runtime::flag! {
        /// Within a function.
        static INNER: u16 = 7;
    }
    assert_eq!((A_BOOL.get(), AN_I8.get(), INNER.get(), MODE.get()), (true, -1, 7, Mode::Fast));
    assert_eq!((A_RATE.get(), PAUSE.get()), (0.5, Duration::from_millis(5)));
    assert_eq!((LETTERS.load().len(), &**TEXT.load()), (1, "text"));
    let flags = rpc_runtime::Flags::new();
    let names: Vec<_> = flags.list().into_iter().map(|flag| flag.name).collect();
    let expected = ["a_bool", "an_i8", "inner", "letters", "log_rpc", "mode", "pause", "rate", "text"];
    assert_eq!(names, expected);
    flags.set_text("mode", "fast", &rpc_runtime::flags::Actor::new("a test")).unwrap();
    flags.set_text("an_i8", "-3", &rpc_runtime::flags::Actor::new("a test")).unwrap_err();
}
