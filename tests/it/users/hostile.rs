//! Subjects that forge lines, hide text, or are too large.

use rpc_runtime::authentication::Authenticator;
use rpc_runtime::{Callers, Policy};
use rpc_tests::captured::CapturedWriter;
use serde_json::Value;
use tracing::subscriber::DefaultGuard;

use super::*;

/// Subjects, and how a log shows them.
fn subjects() -> Vec<(String, String)> {
    let long = "é".repeat(300);
    [
        ("zoë", "zoë"),
        (
            "a\nINFO rpc: forged code=\"ok\"",
            "a\\u{a}INFO rpc: forged code=\"ok\"",
        ),
        ("a\r\n\u{85}b", "a\\u{d}\\u{a}\\u{85}b"),
        ("\u{1b}[2J\u{1b}[31mred", "\\u{1b}[2J\\u{1b}[31mred"),
        ("\" code=\"ok\" \\", "\" code=\"ok\" \\"),
        ("'; drop table users; --", "'; drop table users; --"),
        ("\u{202e}toor\u{2066}", "\\u{202e}toor\\u{2066}"),
        ("a\u{200b}\u{2028}\u{feff}", "a\\u{200b}\\u{2028}\\u{feff}"),
        ("\0\u{7f}\u{9b}", "\\u{0}\\u{7f}\\u{9b}"),
        (&long, &long),
    ]
    .map(|(subject, shown)| (subject.to_owned(), shown.to_owned()))
    .into()
}

/// Takes a number of a subject as the token; 99 is a subject of 64 KiB.
fn numbered() -> impl Authenticator {
    BearerAuth::new(|token| async move {
        let number: usize = token.expose().parse().unwrap();
        let subject = subjects().into_iter().nth(number);
        let subject = subject.map_or_else(|| "\n".repeat(64 << 10), |(subject, _)| subject);
        Ok(Some(Principal::new(subject)))
    })
}

async fn numbered_desk(vault: &Running) -> Running {
    let policy = Policy::new()
        .allow("users.v1.Desk/Hours", Callers::users())
        .allow("users.v1.Desk/Who", Callers::roles(["operator"]));
    let server = desk(vault).authenticate(numbered()).policy(policy);
    Running::start(server).await
}

/// Logs this thread, which has the server, until the guard is dropped.
fn logged(is_json: bool) -> (CapturedWriter, DefaultGuard) {
    let log = CapturedWriter::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let guard = if is_json {
        tracing::subscriber::set_default(lines.json().with_span_list(false).finish())
    } else {
        tracing::subscriber::set_default(lines.with_ansi(false).finish())
    };
    (log, guard)
}

/// Returns what a log must not have.
fn is_hidden(c: char) -> bool {
    c != '\n' && (c.is_control() || c == '\u{2028}' || rpc_runtime::text::is_invisible(c))
}

/// Returns the lines of calls, after a check of all.
fn checked(log: &CapturedWriter, method: &str) -> Vec<String> {
    let text = log.text();
    let hidden = text.chars().find(|c| is_hidden(*c));
    assert_eq!(hidden, None, "{text:?}");
    let of_calls = text.lines().filter(|line| line.contains(method));
    of_calls.map(str::to_owned).collect()
}

#[tokio::test]
async fn hostile_subjects_stay_in_their_field_of_a_line() {
    let vault = vault().await;
    let desk = numbered_desk(&vault).await;
    for (number, (_, shown)) in subjects().into_iter().enumerate() {
        for is_json in [false, true] {
            let (log, guard) = logged(is_json);
            let user = format!("Bearer {number}");
            assert_eq!(call(&desk, "Hours", &user, "{}").await.status, 200);
            let refused = call(&desk, "Who", &user, "{}").await;
            drop(guard);
            let text = format!("the user {shown} may not call users.v1.Desk/Who");
            assert_eq!((refused.status, refused.message()), (403, text));
            let lines = checked(&log, "users.v1.Desk/");
            assert_eq!(lines.len(), 2, "{lines:?}");
            for line in lines {
                if is_json {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    assert_eq!(line["fields"]["user.id"], *shown, "{line}");
                } else {
                    let field = format!(" user.id={shown:?} rpc.method=");
                    assert_eq!(line.matches(&field).count(), 1, "{field}: {line}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_subject_of_64_kib_fills_no_line() {
    let vault = vault().await;
    let desk = numbered_desk(&vault).await;
    for is_json in [false, true] {
        let (log, guard) = logged(is_json);
        let refused = call(&desk, "Hours", "Bearer 99", "{}").await;
        drop(guard);
        assert_eq!(refused.error().1, "invalid_argument");
        assert!(
            refused
                .message()
                .ends_with("its largest part is the subject")
        );
        let lines = checked(&log, "users.v1.Desk/Hours");
        assert!(matches!(&*lines, [line] if line.len() < 1024), "{lines:?}");
    }
}

#[tokio::test]
async fn a_hostile_token_is_in_no_line() {
    let vault = vault().await;
    let desk = Running::start(desk_with_users(&vault)).await;
    // `a\nb\u{1b}[2J:sesame` as HTTP Basic has it, and a token that is none.
    for credentials in [
        "Basic YQpiG1sySjpzZXNhbWU=",
        "Bearer a\u{202e}b",
        "Bearer {\"a\":1}",
    ] {
        let (log, guard) = logged(false);
        let refused = call(&desk, "Who", credentials, "{}").await;
        drop(guard);
        assert_eq!(refused.error().1, "unauthenticated");
        let lines = checked(&log, "users.v1.Desk/Who");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let text = log.text();
        for part in ["YQpi", "sesame", "2J", "{\"a", "user.id"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }
}
