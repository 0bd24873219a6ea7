//! Reads the credentials of HTTP Basic authentication, RFC 7617, and sets the user of a request.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rpc_runtime::axum::http::HeaderMap;
use rpc_runtime::axum::http::header::AUTHORIZATION;
use rpc_runtime::{Context, Principal, Result, Secret};

use crate::api::userstore::User;

/// Accepts missing padding, which some clients omit. The same as an engine of `rpc-runtime`, whose
/// engines are private since they belong to its wire formats.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Unverified user name and password of a request.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret<String>,
}

/// Returns the credentials of a request. Returns `None` for a missing, repeated or malformed
/// header: a caller who guesses gets the same response in each case.
pub(super) fn read(headers: &HeaderMap) -> Option<Credentials> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(credentials.trim_matches(' ')).ok()?;
    // The challenge asks for UTF-8. Clients that ignore it send ISO 8859-1, whose bytes are the
    // first 256 characters.
    let text = String::from_utf8(decoded)
        .unwrap_or_else(|error| error.as_bytes().iter().copied().map(char::from).collect());
    // A password may contain colons, a user name may not.
    let (username, password) = text.split_once(':')?;
    if username.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    Some(Credentials {
        username: username.to_owned(),
        password: Secret::new(password.to_owned()),
    })
}

/// Makes the request one of this user: the calls that follow carry the user and its roles, and its
/// log line has the name. What a caller has sent as its user does not count.
pub(super) fn set_user(user: &User) -> Result<()> {
    let (context, principal) = (Context::current(), Principal::new(&*user.username));
    let roles = user.roles.iter();
    let with_roles = roles.fold(principal.clone(), |principal, role| {
        principal.with_role(&**role)
    });
    context.set_principal(with_roles).or_else(|error| {
        // An earlier version stored any number of roles.
        let name = &user.username;
        tracing::warn!("User {name:?} is served without roles: {error}");
        context.set_principal(principal)
    })
}

#[cfg(test)]
mod tests {
    use rpc_runtime::axum::http::HeaderValue;

    use super::*;

    fn read_all(values: &[&[u8]]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        read(&headers).map(|login| (login.username, login.password.into_exposed()))
    }

    fn basic(text: &[u8]) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(text)).into_bytes()
    }

    #[test]
    fn the_password_starts_after_the_first_colon() {
        for (header, username, password) in [
            (
                &b"Basic dXNlcm5hbWU6cGFzc3dvcmQ="[..],
                "username",
                "password",
            ),
            (b"bAsIc dXNlcm5hbWU6cGFzc3dvcmQ", "username", "password"),
            (b"Basic   dXNlcm5hbWU6cGFzc3dvcmQ=", "username", "password"),
            (&basic(b"a:b:c"), "a", "b:c"),
            (&basic(b"a:"), "a", ""),
            (&basic("jörg:käse ☃".as_bytes()), "jörg", "käse ☃"),
            (&basic(b"j\xf6rg:k\xe4se"), "jörg", "käse"),
            (&basic(b"\xff\xfe:x"), "ÿþ", "x"),
        ] {
            let expected = Some((username.to_owned(), password.to_owned()));
            assert_eq!(read_all(&[header]), expected, "{username}");
        }
    }

    #[test]
    fn c07_a_broken_header_is_no_login_and_no_panic() {
        for header in [
            &b""[..],
            b"Basic",
            b"Basic ",
            b"Basic !!!",
            b"Basic dXNlcm5hbWU",
            b"Bearer dXNlcm5hbWU6cGFzc3dvcmQ=",
            b"dXNlcm5hbWU6cGFzc3dvcmQ=",
            b"Basic=dXNlcm5hbWU6cGFzc3dvcmQ=",
            b"Basic dXNlcm5hbWU6cGFzc3dvcmQ=, Basic dXNlcm5hbWU6cGFzc3dvcmQ=",
            b"Basic \xff\xfe",
            &basic(b":password"),
            &basic(b"no colon"),
            // A control character in ISO 8859-1.
            &basic(b"\x80\xff:x"),
            &basic(b"user\nname:password"),
            &basic(b"username:pass\0word"),
        ] {
            assert_eq!(read_all(&[header]), None, "{}", header.escape_ascii());
        }
        assert_eq!(read_all(&[]), None);
        let good = basic(b"username:password");
        assert_eq!(read_all(&[&good, &good]), None);
    }

    #[test]
    fn credentials_do_not_print_their_password() {
        let login = Credentials {
            username: "ada".to_owned(),
            password: Secret::new("canary".to_owned()),
        };
        assert!(!format!("{login:?}").contains("canary"));
    }
}
