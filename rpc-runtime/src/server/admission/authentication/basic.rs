//! User names and passwords: HTTP Basic (RFC 7617).

use std::fmt;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::{Authenticator, bearer};
use crate::context::{Context, Principal};
use crate::error::{Code, Error, Result};
use crate::middleware::BoxFuture;
use crate::secret::Secret;

/// Clients send the padding or leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Authenticates users by name and password, as `Authorization: Basic …` has them.
///
/// ```
/// use rpc_runtime::Principal;
/// use rpc_runtime::authentication::BasicAuth;
///
/// let users = BasicAuth::new("shop", |user, password| async move {
///     // In production: compare with a password hash, on a thread for blocking work.
///     let is_right = user == "alice" && password.expose() == "wonderland";
///     Ok(is_right.then(|| Principal::new(user)))
/// });
/// # drop(users);
/// ```
pub struct BasicAuth<F> {
    realm: String,
    verify: F,
}

impl<F, Fut> BasicAuth<F>
where
    F: Fn(String, Secret<String>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Principal>>> + Send + 'static,
{
    /// Creates an authenticator. `verify` gets the user name and the password, and returns `None`
    /// if they are wrong. Browsers show the `realm` to the user.
    pub fn new(realm: impl Into<String>, verify: F) -> Self {
        let realm = realm.into();
        Self { realm, verify }
    }
}

impl<F, Fut> Authenticator for BasicAuth<F>
where
    F: Fn(String, Secret<String>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Principal>>> + Send + 'static,
{
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>> {
        let credentials = match bearer::credentials(&context, "basic") {
            Ok(None) => return Box::pin(std::future::ready(Ok(None))),
            Ok(Some(credentials)) => parse(credentials),
            Err(error) => Err(error),
        };
        let verified = credentials.map(|(user, password)| (self.verify)(user, password));
        Box::pin(async move {
            match verified?.await? {
                Some(principal) => Ok(Some(principal)),
                None => Err(Error::without_location(
                    Code::Unauthenticated,
                    "wrong user name or password",
                )),
            }
        })
    }

    fn has_credentials(&self, context: &Context) -> bool {
        !matches!(bearer::credentials(context, "basic"), Ok(None))
    }

    fn challenge(&self) -> Option<String> {
        let realm = self.realm.replace('\\', "\\\\").replace('"', "\\\"");
        Some(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
    }
}

/// Returns what the credentials of a call claim: the user name of Basic in lower case, because some
/// stores ignore the case, or else the `Authorization` header as it is.
pub(super) fn claim(context: &Context) -> String {
    let basic = bearer::credentials(context, "basic").ok().flatten();
    match basic.map(parse) {
        Some(Ok((user, _))) => user.trim().to_lowercase(),
        _ => {
            let header = context.metadata().get("authorization");
            header.unwrap_or_default().to_owned()
        }
    }
}

/// Reads the user name and the password.
///
/// # Errors
///
/// `unauthenticated` for anything else than base64 of UTF-8 with a colon.
fn parse(credentials: &str) -> Result<(String, Secret<String>)> {
    let decoded = BASE64.decode(credentials).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) = parts.ok_or_else(|| {
        let text =
            "the credentials of the Authorization header are not base64 of USER:PASSWORD in UTF-8";
        Error::without_location(Code::Unauthenticated, text)
    })?;
    Ok((user.to_owned(), Secret::new(password.to_owned())))
}

impl<F> fmt::Debug for BasicAuth<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BasicAuth({})", self.realm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_password_are_read() {
        for (credentials, user, password) in [
            ("YTpi", "a", "b"),
            ("YTpiOmM=", "a", "b:c"),
            ("YTpiOmM", "a", "b:c"),
            ("Og==", "", ""),
            ("em/Dqzpww6Q=", "zoë", "pä"),
        ] {
            let (name, secret) = parse(credentials).unwrap();
            assert_eq!((&*name, &**secret.expose()), (user, password));
        }
        for credentials in [
            "",
            "YQ==",
            "a",
            "YTpi YTpi",
            "/zr/",
            "YTpiOmM=x",
            "YTpi=",
            "\u{1}",
        ] {
            let error = parse(credentials).unwrap_err();
            assert_eq!(error.code(), Code::Unauthenticated, "{credentials}");
            assert!(!error.message().contains("YTpi"), "{error}");
        }
    }
}
