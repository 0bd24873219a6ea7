//! What an argument has to be, before anything is done with it.

use crate::api::userstore::{
    CREDIT_LIMIT, KEY_LIMIT, LEDGER_LIMIT, PASSWORD_LIMIT, USERNAME_LIMIT, UserStoreError,
};

type Checked<T = ()> = Result<T, UserStoreError>;

/// A name that can be logged in with, and that no line of a log can be forged with.
///
/// A colon ends the name in HTTP Basic.
pub(super) fn username(name: &str) -> Checked {
    let length = name.chars().count();
    if length == 0 || length > USERNAME_LIMIT {
        return invalid(
            "username",
            format!("has 1 to {USERNAME_LIMIT} characters, and not {length}"),
        );
    }
    match name.chars().find(|c| *c == ':' || is_invisible(*c)) {
        Some(':') => invalid("username", "has no colon".to_owned()),
        Some(c) => invalid("username", format!("has no {}", c.escape_unicode())),
        None => Ok(()),
    }
}

/// A password that somebody tries.
pub(super) fn password(password: &str) -> Checked {
    if password.len() > PASSWORD_LIMIT {
        let length = password.len();
        return invalid(
            "password",
            format!("has at most {PASSWORD_LIMIT} bytes, and not {length}"),
        );
    }
    Ok(())
}

/// A password that a user is to have.
pub(super) fn new_password(new: &str) -> Checked {
    if new.is_empty() {
        return invalid("password", "is missing or empty".to_owned());
    }
    password(new)
}

pub(super) fn key(key: &str) -> Checked {
    if key.is_empty() || key.len() > KEY_LIMIT {
        return invalid(
            "key",
            format!("has 1 to {KEY_LIMIT} bytes, and not {}", key.len()),
        );
    }
    match key.chars().find(|c| is_invisible(*c)) {
        Some(c) => invalid("key", format!("has no {}", c.escape_unicode())),
        None => Ok(()),
    }
}

/// What a purchase may take.
pub(super) fn amount(amount: u64) -> Checked<i64> {
    match i64::try_from(amount) {
        Ok(credits) if (1..=CREDIT_LIMIT).contains(&amount) => Ok(credits),
        _ => invalid(
            "amount",
            format!("is 1 to {CREDIT_LIMIT} credits, and not {amount}"),
        ),
    }
}

/// What a credit may be set to.
pub(super) fn credit(credit: u64) -> Checked<i64> {
    match i64::try_from(credit) {
        Ok(credits) if credit <= CREDIT_LIMIT => Ok(credits),
        _ => invalid(
            "credit",
            format!("is at most {CREDIT_LIMIT}, and not {credit}"),
        ),
    }
}

pub(super) fn limit(limit: u32) -> Checked {
    if (1..=LEDGER_LIMIT).contains(&limit) {
        return Ok(());
    }
    invalid(
        "limit",
        format!("is 1 to {LEDGER_LIMIT} entries, and not {limit}"),
    )
}

/// A word such as `developer`.
pub(super) fn role(role: &str) -> Checked {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if (1..=32).contains(&role.len()) && role.chars().all(fits) {
        return Ok(());
    }
    invalid(
        "roles",
        "each has 1 to 32 of the characters a-z, 0-9, `_` and `-`".to_owned(),
    )
}

/// Control characters, and those of Unicode that end lines or turn the direction of reading.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{061c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn invalid<T>(argument: &str, why: String) -> Checked<T> {
    Err(UserStoreError::Invalid {
        argument: argument.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_14_names_and_keys_have_no_characters_that_do_something() {
        for name in [
            "username",
            "Ada Lovelace",
            "日本語",
            &"é".repeat(64),
            "o'hara\"; --",
            ".",
        ] {
            username(name).unwrap();
            key(name).unwrap();
        }
        for name in [
            "",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "\u{1b}[2K",
            "a\u{202e}b",
            "a\u{2028}b",
        ] {
            username(name).unwrap_err();
            key(name).unwrap_err();
        }
        username("a:b").unwrap_err();
        username(&"é".repeat(65)).unwrap_err();
        key(&"x".repeat(255)).unwrap();
        key(&"x".repeat(256)).unwrap_err();
        assert_eq!(
            username("a\nb").unwrap_err().to_string(),
            r"username: has no \u{a}"
        );
    }

    #[test]
    fn row_87_money_has_bounds_that_keep_it_exact() {
        for wrong in [0, CREDIT_LIMIT + 1, i64::MAX as u64 + 1, u64::MAX] {
            amount(wrong).unwrap_err();
        }
        assert_eq!(amount(1).unwrap(), 1);
        assert_eq!(credit(0).unwrap(), 0);
        assert_eq!(credit(CREDIT_LIMIT).unwrap(), 1_000_000_000_000_000);
        credit(CREDIT_LIMIT + 1).unwrap_err();
        credit(u64::MAX).unwrap_err();
        limit(0).unwrap_err();
        limit(LEDGER_LIMIT + 1).unwrap_err();
    }
}
