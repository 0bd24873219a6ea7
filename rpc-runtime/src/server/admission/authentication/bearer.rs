//! Tokens: `Authorization: Bearer …` (RFC 6750).

use std::fmt;

use super::Authenticator;
use crate::context::{Context, Principal};
use crate::error::{Code, Error, Result};
use crate::middleware::BoxFuture;
use crate::secret::Secret;

/// Authenticates users by a token, as `Authorization: Bearer …` has it, with a verifier of the
/// application: for tokens in a store, for signed ones.
///
/// See the [module](super) for an example.
pub struct BearerAuth<F> {
    verify: F,
}

impl<F, Fut> BearerAuth<F>
where
    F: Fn(Secret<String>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Principal>>> + Send + 'static,
{
    /// Creates an authenticator. `verify` gets the token, and returns `None` if it is unknown or
    /// expired.
    pub fn new(verify: F) -> Self {
        Self { verify }
    }
}

impl<F, Fut> Authenticator for BearerAuth<F>
where
    F: Fn(Secret<String>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<Principal>>> + Send + 'static,
{
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>> {
        let token = match credentials(&context, "bearer") {
            Ok(None) => return Box::pin(std::future::ready(Ok(None))),
            Ok(Some(token)) if is_token(token) => Ok(Secret::new(token.to_owned())),
            Ok(Some(_)) => Err(unauthenticated(
                "the Authorization header has no valid token",
            )),
            Err(error) => Err(error),
        };
        let verified = token.map(|token| (self.verify)(token));
        Box::pin(async move {
            match verified?.await? {
                Some(principal) => Ok(Some(principal)),
                None => Err(unauthenticated("the token is unknown or expired")),
            }
        })
    }

    fn has_credentials(&self, context: &Context) -> bool {
        !matches!(credentials(context, "bearer"), Ok(None))
    }

    fn challenge(&self) -> Option<String> {
        Some("Bearer".to_owned())
    }
}

/// Returns the credentials of the `Authorization` header, if its scheme is this one, in lower case.
///
/// # Errors
///
/// `unauthenticated` for several headers: a proxy may have checked another one.
pub(super) fn credentials<'c>(context: &'c Context, scheme: &str) -> Result<Option<&'c str>> {
    let mut values = context.metadata().get_all("authorization");
    let (value, other) = (values.next(), values.next());
    if other.is_some() {
        let text = "the request has more than one Authorization header; send one";
        return Err(unauthenticated(text));
    }
    let value = value.unwrap_or_default();
    let (name, credentials) = value.split_once(' ').unwrap_or((value, ""));
    Ok(name
        .eq_ignore_ascii_case(scheme)
        .then(|| credentials.trim_matches(' ')))
}

/// Returns whether a text is a token as RFC 6750 defines it.
pub(super) fn is_token(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b);
    !body.is_empty() && body.bytes().all(is_valid)
}

fn unauthenticated(text: &'static str) -> Error {
    Error::without_location(Code::Unauthenticated, text)
}

impl<F> fmt::Debug for BearerAuth<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerAuth")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_characters_of_the_rule() {
        for (text, expected) in [
            ("abc-._~+/09==", true),
            ("a", true),
            ("", false),
            ("=", false),
            ("a b", false),
            ("a=b", false),
            ("é", false),
            ("a,b", false),
        ] {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }
}
