//! The declaration of a flag.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::cell::{FlagEntry, Value, catch_panic};
use super::registry;
use super::set::Flags;
use super::value::Codec;
use super::{NAME_LIMIT, VALUE_LIMIT};

/// The index of a flag that is not in the registry, or not yet.
const UNREGISTERED: usize = usize::MAX;

/// Validates a value.
type Check<T> = fn(&T) -> Result<(), String>;

/// Describes the accepted values. Its argument formats a value.
type DescribeAccepted<T> = fn(fn(&T) -> String) -> String;

/// A flag, declared with [`flag!`](crate::flag!). It has one value in each server.
pub struct Flag<T: 'static> {
    meta: FlagMeta,
    default: fn() -> T,
    codec: Codec<T>,
    check: Option<Check<T>>,
    accepts: Option<DescribeAccepted<T>>,
    notify: Option<fn(&T, &T)>,
    /// The index of its value in each server. Written once, before the first server exists.
    index: AtomicUsize,
}

/// The properties of a flag that do not depend on its type.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct FlagMeta {
    pub(super) name: &'static str,
    pub(super) docs: &'static str,
    pub(super) type_name: &'static str,
    pub(super) module: &'static str,
    pub(super) dynamic: bool,
    pub(super) secret: bool,
}

impl<T: Send + Sync + 'static> Flag<T> {
    /// Returns the name, such as `log_rpc`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.meta.name
    }

    pub(crate) fn of(&self, flags: &Flags) -> T
    where
        T: Copy,
    {
        match (flags.slot(self.index()), self.codec.word) {
            (Some(slot), Some((_, from))) => from(slot.word()),
            (Some(_), None) => *self.load_from(flags),
            (None, _) => (self.default)(),
        }
    }

    pub(super) fn load_from(&self, flags: &Flags) -> Arc<T> {
        let value = flags.slot(self.index()).map(|slot| slot.value().downcast());
        match value {
            Some(Ok(value)) => value,
            _ => self.load_default(),
        }
    }

    pub(crate) fn default_value(&self) -> T {
        (self.default)()
    }

    pub(crate) fn load_default(&self) -> Arc<T> {
        // The index is checked first: the default of a flag may read another flag while the
        // registry is created.
        let known = (self.index() != UNREGISTERED).then(|| registry::all().get(self.index()));
        let value = known
            .flatten()
            .map(|known| Arc::clone(&known.default.value).downcast());
        match value {
            Some(Ok(value)) => value,
            _ => Arc::new((self.default)()),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    /// Formats a value, without validation.
    fn entry(&self, value: T) -> Result<FlagEntry, String> {
        let text = catch_panic(|| (self.codec.print)(&value))?.into();
        Ok(FlagEntry {
            word: self.codec.word.map_or(0, |(to, _)| to(&value)),
            value: Arc::new(value),
            text,
        })
    }

    /// Validates a value. The error is the reason.
    pub(super) fn accept(&self, value: T) -> Result<FlagEntry, String> {
        if let Some(check) = self.check {
            catch_panic(|| check(&value))??;
        }
        let entry = self.entry(value)?;
        if entry.text.len() > VALUE_LIMIT {
            return Err(too_long());
        }
        Ok(entry)
    }
}

fn too_long() -> String {
    format!("the value is longer than {VALUE_LIMIT} bytes")
}

/// A flag of any type.
#[doc(hidden)]
pub trait AnyFlag: Sync {
    fn meta(&self) -> &FlagMeta;
    fn set_index(&self, index: usize);
    /// Returns the default, without validation.
    fn default_entry(&self) -> FlagEntry;
    /// Describes the accepted values, for display.
    fn accepts(&self) -> String;
    /// Parses and validates a text. The error is the reason.
    fn read(&self, text: &str) -> Result<FlagEntry, String>;
    /// Validates a value of the type of the flag. The error is the reason.
    fn check_value(&self, value: &Value) -> Result<(), String>;
    /// Calls the listener of the declaration.
    fn notify(&self, old: &Value, new: &Value);
}

impl<T: Send + Sync + 'static> AnyFlag for Flag<T> {
    fn meta(&self) -> &FlagMeta {
        &self.meta
    }

    fn set_index(&self, index: usize) {
        self.index.store(index, Ordering::Relaxed);
    }

    fn default_entry(&self) -> FlagEntry {
        let unprintable = |reason: String| FlagEntry {
            value: Arc::new((self.default)()),
            text: reason.into(),
            word: self.codec.word.map_or(0, |(to, _)| to(&(self.default)())),
        };
        self.entry((self.default)()).unwrap_or_else(unprintable)
    }

    fn accepts(&self) -> String {
        let accepted = self
            .accepts
            .map(|accepts| catch_panic(|| accepts(self.codec.print)));
        let accepted = accepted.and_then(Result::ok).unwrap_or_default();
        // The bounds of the type are omitted if the validator has narrower ones.
        let of_type = match self.codec.accepts.split_once(" from ") {
            Some((kind, _)) if accepted.starts_with("from ") => kind,
            _ => self.codec.accepts,
        };
        match (of_type, &*accepted) {
            ("", "") => format!("a {}", self.meta.type_name),
            (of_type, "") => of_type.to_owned(),
            ("", accepted) => format!("a {}, {accepted}", self.meta.type_name),
            (of_type, accepted) => format!("{of_type}, {accepted}"),
        }
    }

    fn read(&self, text: &str) -> Result<FlagEntry, String> {
        if text.len() > VALUE_LIMIT {
            return Err(too_long());
        }
        self.accept(catch_panic(|| (self.codec.parse)(text))??)
    }

    fn check_value(&self, value: &Value) -> Result<(), String> {
        match (self.check, value.downcast_ref()) {
            (Some(check), Some(value)) => catch_panic(|| check(value))?,
            _ => Ok(()),
        }
    }

    fn notify(&self, old: &Value, new: &Value) {
        if let (Some(notify), Some(old), Some(new)) =
            (self.notify, old.downcast_ref(), new.downcast_ref())
        {
            notify(old, new);
        }
    }
}

impl<T> fmt::Debug for Flag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flag({})", self.meta.name)
    }
}

/// An entry of the registry; [`flag!`](crate::flag!) makes one for each flag.
#[doc(hidden)]
pub struct Registration(pub(super) &'static dyn AnyFlag);

impl Registration {
    #[must_use]
    pub const fn new(flag: &'static dyn AnyFlag) -> Self {
        Self(flag)
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registration({})", self.0.meta().name)
    }
}

/// Support for the expansion of [`flag!`](crate::flag!).
#[doc(hidden)]
#[allow(
    missing_docs,
    reason = "called by the expansion of `flag!`, whose documentation describes the options"
)]
impl<T: Any + Send + Sync> Flag<T> {
    #[must_use]
    pub const fn new(
        name: &'static str,
        docs: &'static str,
        type_name: &'static str,
        module: &'static str,
        default: fn() -> T,
        codec: Codec<T>,
    ) -> Self {
        assert_name(name);
        Self {
            meta: FlagMeta {
                name,
                docs,
                type_name,
                module,
                dynamic: false,
                secret: false,
            },
            default,
            codec,
            check: None,
            accepts: None,
            notify: None,
            index: AtomicUsize::new(UNREGISTERED),
        }
    }

    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        assert_name(name);
        self.meta.name = name;
        self
    }

    #[must_use]
    pub const fn dynamic(mut self) -> Self {
        self.meta.dynamic = true;
        self
    }

    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.meta.secret = true;
        self
    }

    #[must_use]
    pub const fn validate(
        mut self,
        check: fn(&T) -> Result<(), String>,
        accepts: fn(fn(&T) -> String) -> String,
    ) -> Self {
        self.check = Some(check);
        self.accepts = Some(accepts);
        self
    }

    #[must_use]
    pub const fn notify_by(mut self, notify: fn(&T, &T)) -> Self {
        self.notify = Some(notify);
        self
    }
}

/// Checks at compile time that a name is valid on a command line, in a file and, in upper case, in
/// the environment.
const fn assert_name(name: &str) {
    let bytes = name.as_bytes();
    assert!(
        !bytes.is_empty() && bytes.len() <= NAME_LIMIT,
        "the name of a flag must have 1 to 64 characters"
    );
    assert!(
        bytes[0].is_ascii_lowercase(),
        "the name of a flag must start with a lower-case letter"
    );
    let mut at = 0;
    while at < bytes.len() {
        let is_fine =
            bytes[at].is_ascii_lowercase() || bytes[at].is_ascii_digit() || bytes[at] == b'_';
        assert!(
            is_fine,
            "the name of a flag must consist of lower-case letters, digits and `_`"
        );
        at += 1;
    }
}

/// Returns the name of a static in lower case. `N` is its length.
#[doc(hidden)]
#[must_use]
pub const fn lower_case<const N: usize>(name: &str) -> [u8; N] {
    let mut lower = [0; N];
    let mut at = 0;
    while at < N {
        lower[at] = name.as_bytes()[at].to_ascii_lowercase();
        at += 1;
    }
    lower
}

/// Declares flags. See [`flags`](crate::flags) for the sources of their values.
///
/// Each flag is a `static` of the type [`Flag`](crate::Flag), with a doc comment for operators, a
/// type and a default. Its name is that of the static in lower case.
///
/// Types: `bool`, integers up to 64 bits, `f64`, `String`, `Duration` (`500ms`, `5s`),
/// `Vec<String>` (`a,b`), and types with `FromStr` and `Display`, if the first parses what the
/// second prints.
///
/// | option | |
/// | --- | --- |
/// | `dynamic` | can be changed while the server runs |
/// | `secret` | the value is never displayed: not in lists, errors or logs |
/// | `name = "…"` | sets another name: lower-case letters, digits and `_` |
/// | `validate = …` | [`range`], [`one_of`], [`not_empty`], a function, or another [`Validator`] |
/// | `notify = …` | a function of the old and the new value, called after each change in any server |
///
/// A closure as a validator needs the type of its argument.
///
/// [`range`]: crate::flags::range
/// [`one_of`]: crate::flags::one_of
/// [`not_empty`]: crate::flags::not_empty
/// [`Validator`]: crate::flags::Validator
///
/// ```
/// use std::time::Duration;
///
/// fn even(n: &u32) -> Result<(), String> {
///     if n % 2 == 0 { Ok(()) } else { Err("it is odd".to_owned()) }
/// }
///
/// rpc_runtime::flag! {
///     /// The time for which a price is cached.
///     pub static PRICE_AGE: Duration = Duration::from_secs(5), dynamic;
///     /// The number of workers.
///     static WORKERS: u32 = 4, validate = even;
///     /// The token of the price source.
///     static PRICE_TOKEN: String = String::new(), dynamic, secret, name = "token";
/// }
///
/// let flags = rpc_runtime::Server::new("pricing").flags();
/// flags.set_text("price_age", "500ms", &rpc_runtime::flags::Actor::new("a test"))?;
/// assert_eq!(flags.get(&PRICE_AGE), Duration::from_millis(500));
/// let error = flags.set_text("workers", "3", &rpc_runtime::flags::Actor::new("a test")).unwrap_err();
/// assert_eq!(
///     error.message(),
///     "flag workers not changed: invalid value `3`: it is odd; expected a whole number from 0 to 4294967295",
/// );
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
#[macro_export]
macro_rules! flag {
    ($(
        $(#[doc = $docs:literal])+
        $visibility:vis static $name:ident: $type:ty = $default:expr
        $(, $option:ident $(= $value:expr)?)* $(,)?;
    )+) => {$(
        $(#[doc = $docs])+
        $visibility static $name: $crate::Flag<$type> = {
            #[allow(unused_imports)]
            use $crate::flags::Fallback as _;
            const NAME: &str = ::core::stringify!($name);
            const LOWER: [u8; NAME.len()] = $crate::flags::lower_case(NAME);
            let flag = $crate::Flag::new(
                match ::core::str::from_utf8(&LOWER) {
                    ::core::result::Result::Ok(name) => name,
                    ::core::result::Result::Err(_) => ::core::panic!("the name of a flag must be ASCII"),
                },
                ::core::concat!($($docs, "\n"),+),
                ::core::stringify!($type),
                ::core::module_path!(),
                || -> $type { $default },
                $crate::flags::Specialize::<$type>::CODEC,
            );
            $(let flag = $crate::__flag_option!(flag, $type, $option $(= $value)?);)*
            flag
        };
        $crate::__private::inventory::submit! { $crate::flags::Registration::new(&$name) }
    )+};
    ($visibility:vis static $($rest:tt)*) => {
        ::core::compile_error!("a flag needs a doc comment, which describes it to operators");
    };
}

/// One option of [`flag!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __flag_option {
    ($flag:ident, $type:ty, dynamic) => {
        $flag.dynamic()
    };
    ($flag:ident, $type:ty, secret) => {
        $flag.secret()
    };
    ($flag:ident, $type:ty, name = $name:expr) => {
        $flag.named($name)
    };
    ($flag:ident, $type:ty, validate = $validator:expr) => {
        $flag.validate(
            |value| {
                #[allow(unused_imports)]
                use $crate::flags::{not_empty, one_of, range};
                $crate::flags::Validator::<$type>::check(&($validator), value)
            },
            |print| {
                #[allow(unused_imports)]
                use $crate::flags::{not_empty, one_of, range};
                $crate::flags::Validator::<$type>::accepts(&($validator), print)
            },
        )
    };
    ($flag:ident, $type:ty, notify = $notify:expr) => {
        $flag.notify_by(|old, new| ($notify)(old, new))
    };
    ($flag:ident, $type:ty, $option:ident $(= $value:expr)?) => {
        ::core::compile_error!(::core::concat!(
            "unknown option `",
            ::core::stringify!($option),
            "` of a flag; expected `dynamic`, `secret`, `name = \"…\"`, `validate = …` or `notify = …`"
        ))
    };
}
