//! Validates arguments.

use crate::api::userstore::{
    CREDIT_LIMIT, KEY_LIMIT, LEDGER_LIMIT, PASSWORD_LIMIT, ROLES_LIMIT, USERNAME_LIMIT,
    UserStoreError,
};
use crate::terminal::is_unsafe;

type Checked<T = ()> = Result<T, UserStoreError>;

/// Validates a user name: no character that could forge a log line, and no colon, which ends the
/// name in HTTP Basic.
pub(super) fn username(name: &str) -> Checked {
    let length = name.chars().count();
    if length == 0 || length > USERNAME_LIMIT {
        return invalid(
            "username",
            format!("must have 1 to {USERNAME_LIMIT} characters, not {length}"),
        );
    }
    match name.chars().find(|c| *c == ':' || is_unsafe(*c)) {
        Some(':') => invalid("username", "must not contain a colon".to_owned()),
        Some(c) => invalid(
            "username",
            format!("must not contain the character {}", c.escape_unicode()),
        ),
        None => Ok(()),
    }
}

/// Validates a password to be verified.
pub(super) fn password(password: &str) -> Checked {
    if password.len() > PASSWORD_LIMIT {
        let length = password.len();
        return invalid(
            "password",
            format!("must have at most {PASSWORD_LIMIT} bytes, not {length}"),
        );
    }
    Ok(())
}

/// Validates the password of a new user.
pub(super) fn new_password(new: &str) -> Checked {
    if new.is_empty() {
        return invalid("password", "is missing or empty".to_owned());
    }
    if new.chars().any(char::is_control) {
        // HTTP Basic cannot carry them. The character is part of a secret and is not named.
        return invalid("password", "must not contain control characters".to_owned());
    }
    password(new)
}

pub(super) fn key(key: &str) -> Checked {
    if key.is_empty() || key.len() > KEY_LIMIT {
        return invalid(
            "key",
            format!("must have 1 to {KEY_LIMIT} bytes, not {}", key.len()),
        );
    }
    match key.chars().find(|c| is_unsafe(*c)) {
        Some(c) => invalid(
            "key",
            format!("must not contain the character {}", c.escape_unicode()),
        ),
        None => Ok(()),
    }
}

/// Validates the amount of a purchase.
pub(super) fn amount(amount: u64) -> Checked<i64> {
    match i64::try_from(amount) {
        Ok(credits) if (1..=CREDIT_LIMIT).contains(&amount) => Ok(credits),
        _ => invalid(
            "amount",
            format!("must be 1 to {CREDIT_LIMIT} credits, not {amount}"),
        ),
    }
}

/// Validates a new credit.
pub(super) fn credit(credit: u64) -> Checked<i64> {
    credit_as("credit", credit)
}

/// Validates an argument that is a credit.
pub(super) fn credit_as(argument: &str, credit: u64) -> Checked<i64> {
    match i64::try_from(credit) {
        Ok(credits) if credit <= CREDIT_LIMIT => Ok(credits),
        _ => invalid(
            argument,
            format!("must be at most {CREDIT_LIMIT}, not {credit}"),
        ),
    }
}

/// Validates the amount of a deposit, or of a withdrawal if it is negative.
pub(super) fn change(change: i64) -> Checked {
    if (1..=CREDIT_LIMIT).contains(&change.unsigned_abs()) {
        return Ok(());
    }
    invalid(
        "change",
        format!("must be 1 to {CREDIT_LIMIT} credits, or as many below 0, not {change}"),
    )
}

pub(super) fn limit(limit: u32) -> Checked {
    if (1..=LEDGER_LIMIT).contains(&limit) {
        return Ok(());
    }
    invalid(
        "limit",
        format!("must be 1 to {LEDGER_LIMIT} entries, not {limit}"),
    )
}

/// Validates a role, such as `developer`.
pub(super) fn role(role: &str) -> Checked {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if (1..=32).contains(&role.len()) && role.chars().all(fits) {
        return Ok(());
    }
    invalid(
        "roles",
        "each must have 1 to 32 of the characters a-z, 0-9, `_` and `-`".to_owned(),
    )
}

/// Validates the roles of a new user, or those that are added to a user or removed.
pub(super) fn roles(roles: &[String]) -> Checked {
    if roles.len() > ROLES_LIMIT {
        let length = roles.len();
        return invalid(
            "roles",
            format!("a user has at most {ROLES_LIMIT} roles, not {length}"),
        );
    }
    roles.iter().try_for_each(|one| role(one))
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
    fn names_and_keys_have_no_control_characters() {
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
            r"username: must not contain the character \u{a}"
        );
    }

    #[test]
    fn amounts_are_bounded_to_stay_exact() {
        for wrong in [0, CREDIT_LIMIT + 1, i64::MAX as u64 + 1, u64::MAX] {
            amount(wrong).unwrap_err();
        }
        assert_eq!(amount(1).unwrap(), 1);
        assert_eq!(credit(0).unwrap(), 0);
        assert_eq!(credit(CREDIT_LIMIT).unwrap(), 1_000_000_000_000_000);
        credit(CREDIT_LIMIT + 1).unwrap_err();
        credit(u64::MAX).unwrap_err();
        for wrong in [
            0,
            i64::MIN,
            i64::MAX,
            1_000_000_000_000_001,
            -1_000_000_000_000_001,
        ] {
            change(wrong).unwrap_err();
        }
        change(-1_000_000_000_000_000).unwrap();
        limit(0).unwrap_err();
        limit(LEDGER_LIMIT + 1).unwrap_err();
    }
}
