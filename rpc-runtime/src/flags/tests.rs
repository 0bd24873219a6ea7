//! Sets of flags without a server: accepted and rejected values, and notifications.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Actor, FlagOrigin, Flags};
use crate::context::{Context, Propagated, RequestId, ServerInfo, Source};
use crate::error::Code;

static NOTIFIED: AtomicU64 = AtomicU64::new(0);

fn record_notification(_: &u64, new: &u64) {
    NOTIFIED.store(*new, Ordering::Relaxed);
}

fn no_sevens(n: &u64) -> Result<(), String> {
    match n {
        7 => Err("sevens\nare out".to_owned()),
        77 => panic!("a validator with a bug"),
        _ => Ok(()),
    }
}

crate::flag! {
    /// A number with bounds.
    static SMALL: u64 = 3, dynamic, validate = range(1..=10), notify = record_notification;
    /// A number with a function.
    static CHOSEN: u64 = 1, dynamic, validate = no_sevens, notify = |_: &u64, new: &u64| assert_ne!(*new, 13);
    /// Set at start.
    /// On two lines.
    static FIXED: String = "fixed".to_owned(), validate = one_of(["fixed", "other"]);
    /// A secret.
    static TOKEN: String = "canary-default".to_owned(), dynamic, secret, name = "test_token", validate = not_empty();
    /// A list.
    static LIST: Vec<String> = vec![], dynamic;
    /// A time.
    static WAIT: Duration = Duration::from_millis(1500), dynamic, validate = range(..Duration::from_secs(60));
    /// A type from another crate.
    static HOST: std::net::IpAddr = std::net::Ipv4Addr::LOCALHOST.into(), dynamic;
    /// A ratio.
    static RATIO: f64 = 0.5, dynamic, validate = range(0.0..=1.0);
}

fn source() -> Arc<Source> {
    Arc::new("a@test/1".parse().unwrap())
}

fn started() -> Flags {
    let flags = Flags::new();
    flags.start(source().as_str());
    flags
}

#[test]
fn sets_have_defaults_and_independent_values() {
    let (one, other) = (started(), started());
    one.set(&SMALL, 5, &Actor::new("a test")).unwrap();
    one.set_text("list", " a, ,b ", &Actor::new("a test"))
        .unwrap();
    one.set_text("host", "::1", &Actor::new("a test")).unwrap();
    one.set_text("wait", "2s", &Actor::new("a test")).unwrap();
    assert_eq!((one.get(&SMALL), other.get(&SMALL)), (5, 3));
    assert_eq!(*one.load(&LIST), ["a", "b"]);
    assert!(other.load(&LIST).is_empty());
    assert_eq!(one.get(&HOST), "::1".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(one.get(&WAIT), Duration::from_secs(2));
    assert_eq!(
        (SMALL.get(), FIXED.load().as_str()),
        (3, "fixed"),
        "no call here"
    );
}

#[test]
fn a_flag_is_read_in_the_server_whose_call_runs() {
    let flags = started();
    flags.set(&SMALL, 9, &Actor::new("a test")).unwrap();
    let server_info = ServerInfo::new(source(), None, flags.clone());
    let context = Context::builder(Propagated::new(RequestId::random()))
        .server_info(Arc::new(server_info))
        .build();
    context.enter(|| {
        assert_eq!(SMALL.get(), 9);
        assert_eq!(Context::current().flags().unwrap().get(&SMALL), 9);
        assert_ne!(
            Context::current().request_id(),
            "-",
            "the context is restored"
        );
    });
    assert_eq!(SMALL.get(), 3);
}

#[test]
fn a_rejected_value_is_explained_and_changes_nothing() {
    let flags = started();
    for (name, text, code, words) in [
        (
            "small",
            "11",
            Code::InvalidArgument,
            "flag small not changed: invalid value `11`: out of range; expected a whole number, not negative, from 1 to 10",
        ),
        (
            "small",
            "x",
            Code::InvalidArgument,
            "invalid value `x`: invalid digit found in string",
        ),
        ("small", "-1", Code::InvalidArgument, "invalid value `-1`"),
        (
            "ratio",
            "NaN",
            Code::InvalidArgument,
            "invalid value `NaN`: not finite; expected a number, such as `0.5`, from 0 to 1",
        ),
        ("wait", "60s", Code::InvalidArgument, "less than 1m"),
        ("chosen", "7", Code::InvalidArgument, "sevens\\u{a}are out"),
        (
            "chosen",
            "77",
            Code::InvalidArgument,
            "the parser, formatter or validator of the flag panicked",
        ),
        (
            "host",
            "here",
            Code::InvalidArgument,
            "expected a std::net::IpAddr",
        ),
        (
            "fixed",
            "third",
            Code::InvalidArgument,
            "expected a text, one of `fixed`, `other`",
        ),
        (
            "fixed",
            "other",
            Code::FailedPrecondition,
            "it is not dynamic",
        ),
        (
            "smal",
            "1",
            Code::NotFound,
            "unknown flag smal; did you mean small?",
        ),
        ("RATIO", "1", Code::NotFound, "did you mean ratio?"),
        (
            "a\nb",
            "1",
            Code::NotFound,
            "unknown flag a\\u{a}b; known flags: ",
        ),
    ] {
        let error = flags
            .set_text(name, text, &Actor::new("a test"))
            .unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.message().contains(words), "{}", error.message());
    }
    let long = "x".repeat(super::VALUE_LIMIT + 1);
    let error = flags
        .set_text("list", &long, &Actor::new("a test"))
        .unwrap_err();
    assert!(error.message().contains("longer than") && error.message().len() < 1000);
    assert!(
        flags.list().iter().all(|flag| !flag.changed),
        "{:?}",
        flags.list()
    );
}

#[test]
fn a_secret_is_never_shown() {
    let flags = started();
    let refused = flags
        .set_text("test_token", "", &Actor::new("a test"))
        .unwrap_err();
    assert!(
        refused
            .message()
            .ends_with("invalid value (secret, not shown); expected a text, not empty")
    );
    flags
        .set_text("test_token", "canary-set", &Actor::new("a test"))
        .unwrap();
    assert_eq!(*flags.load(&TOKEN), "canary-set");
    let state = flags.describe("test_token").unwrap();
    assert_eq!(
        (&*state.value, &*state.default, state.changed),
        ("***", "***", true)
    );
    assert!(!format!("{flags:?} {:?} {TOKEN:?}", flags.list()).contains("canary"));
}

#[test]
fn later_sources_win_and_a_reset_restores_the_next() {
    let flags = Flags::new();
    flags
        .set_text_from(FlagOrigin::CommandLine, "small", "6", "line")
        .unwrap();
    flags.set_from_program(&SMALL, 4).unwrap();
    flags
        .set_text_from(FlagOrigin::Environment, "small", "5", "environment")
        .unwrap();
    flags
        .set_text("fixed", "other", &Actor::new("a test, before the start"))
        .unwrap();
    flags.start(source().as_str());
    let of = |name| {
        let state = flags.describe(name).unwrap();
        (state.value, state.origin)
    };
    assert_eq!(of("small"), ("6".to_owned(), FlagOrigin::CommandLine));
    assert_eq!(of("fixed"), ("other".to_owned(), FlagOrigin::RunTime));
    flags.set(&SMALL, 7, &Actor::new("a test")).unwrap();
    assert_eq!(of("small"), ("7".to_owned(), FlagOrigin::RunTime));
    flags.reset("small", &Actor::new("a test")).unwrap();
    assert_eq!(of("small"), ("6".to_owned(), FlagOrigin::CommandLine));
    assert_eq!(
        flags
            .reset("fixed", &Actor::new("a test"))
            .unwrap_err()
            .code(),
        Code::FailedPrecondition
    );
    assert_eq!(
        flags
            .reset("smal", &Actor::new("a test"))
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[test]
fn a_description_is_complete() {
    let state = started().describe("fixed").unwrap();
    assert_eq!(state.description, "Set at start.\nOn two lines.");
    assert_eq!(
        (&*state.type_name, &*state.value, &*state.default),
        ("String", "fixed", "fixed")
    );
    assert_eq!(state.origin, FlagOrigin::Declaration);
    assert!(!state.dynamic && !state.secret && !state.changed);
    assert!(state.module.ends_with("flags::tests"));
    let json = serde_json::to_value(&state).unwrap();
    assert_eq!(json["origin"], "default");
    let newer = serde_json::from_str::<FlagOrigin>(r#""by_letter""#).unwrap();
    assert_eq!(newer, FlagOrigin::Unknown);
}

#[test]
fn watchers_see_changes_in_order_despite_a_panic() {
    let flags = started();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (copy, inner) = (Arc::clone(&seen), flags.clone());
    let bad = flags.watch(&SMALL, |_, _| panic!("a listener with a bug"));
    let watching = flags.watch(&SMALL, move |old, new| {
        copy.lock().unwrap().push((*old, *new));
        if *new == 4 {
            // Notified after this change.
            inner.set(&SMALL, 5, &Actor::new("a listener")).unwrap();
        }
    });
    flags.set(&SMALL, 4, &Actor::new("a test")).unwrap();
    flags.set(&SMALL, 5, &Actor::new("a test")).unwrap();
    flags.set(&CHOSEN, 13, &Actor::new("a test")).unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [(3, 4), (4, 5)],
        "an equal value is not a change"
    );
    assert_eq!(NOTIFIED.load(Ordering::Relaxed), 5);
    drop((watching, bad));
    flags.set(&SMALL, 6, &Actor::new("a test")).unwrap();
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn concurrent_changes_are_notified_in_order() {
    let flags = started();
    let seen = Arc::new(Mutex::new(vec![1]));
    let copy = Arc::clone(&seen);
    let watching = flags.watch(&CHOSEN, move |old, new| {
        let mut seen = copy.lock().unwrap();
        assert_eq!(seen.last(), Some(old));
        seen.push(*new);
    });
    std::thread::scope(|scope| {
        for writer in 1..=4 {
            let flags = &flags;
            scope.spawn(move || {
                for n in 0..200 {
                    flags
                        .set(&CHOSEN, writer * 1000 + n, &Actor::new("a writer"))
                        .unwrap();
                    let read = flags.get(&CHOSEN);
                    assert!((1000..5000).contains(&read) && read % 1000 < 200);
                }
            });
        }
    });
    // Another writer may send the last notification, which is done when its thread ends.
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 801);
    assert_eq!(seen.last(), Some(&flags.get(&CHOSEN)));
    assert_eq!(*flags.load(&CHOSEN), flags.get(&CHOSEN));
    drop(watching);
}

mod files {
    use super::*;
    use crate::flags::file::FlagsFile;

    fn apply(flags: &Flags, text: &str) -> Result<(), crate::Error> {
        flags.apply_file(&FlagsFile::of("/etc/flags".into(), text.to_owned()))
    }

    #[test]
    fn a_file_is_taken_whole_or_not_at_all() {
        let flags = started();
        apply(&flags, "# limits\n\n small = 4 \nlist=a, b # c\r\n").unwrap();
        assert_eq!(flags.get(&SMALL), 4);
        assert_eq!(*flags.load(&LIST), ["a", "b # c"]);
        for (text, words) in [
            (
                "small = 5\nratio = 2\n",
                "invalid flags file /etc/flags, nothing applied: line 2: invalid value `2`: out of range",
            ),
            (
                "small = 5\nsmal = 6\nratio\n",
                "line 2: unknown flag smal; did you mean small?; line 3: expected `name = value`",
            ),
            ("small = 5\nsmall = 6\n", "line 2: duplicate flag small"),
            (
                "list = \"a\"\n'small' = 5\n",
                "line 1: quotes would be a part of the name or the value; remove them; line 2: quotes would be",
            ),
            ("test_token = 'canary'\n", "line 1: quotes would be"),
            (
                "small = 5",
                "line 1: the last line does not end with a line feed, so the file may be incomplete",
            ),
            (
                "test_token =\n",
                "line 1: invalid value (secret, not shown)",
            ),
        ] {
            let error = apply(&flags, text).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(words), "{}", error.message());
            assert_eq!(flags.get(&SMALL), 4, "{text}");
        }
        apply(&flags, "list = \"a\", b'\n").unwrap();
        assert_eq!(*flags.load(&LIST), ["\"a\"", "b'"]);
        apply(&flags, "").unwrap();
        assert_eq!(
            flags.get(&SMALL),
            3,
            "a flag that the file no longer names is reset"
        );
        assert!(flags.load(&LIST).is_empty());
    }

    #[test]
    fn a_file_changes_no_later_source_or_static_flag() {
        let flags = Flags::new();
        flags
            .set_text_from(FlagOrigin::CommandLine, "small", "6", "line")
            .unwrap();
        apply(&flags, "fixed = other\n").unwrap();
        flags.start(source().as_str());
        assert_eq!(&*flags.load(&FIXED), "other");
        apply(&flags, "small = 5\nfixed = fixed\nratio = 1\n").unwrap();
        assert_eq!((flags.get(&SMALL), flags.get(&RATIO)), (6, 1.0));
        assert_eq!(&*flags.load(&FIXED), "other");
    }
}
