//! The user on whose behalf a call runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::error::{Code, Error};

/// The maximum length of an encoded principal, in bytes.
pub const PRINCIPAL_LIMIT: usize = 2 << 10;

/// The maximum length of a name of a claim in an error text, in bytes.
const QUOTED: usize = 64;

/// The user on whose behalf a call runs: a subject, roles and claims.
///
/// An [`Authenticator`](crate::authentication::Authenticator) of the server returns it, or a layer
/// sets it with [`Context::set_principal`](crate::Context::set_principal). The calls that a handler
/// makes carry it on, signed, to servers of the same environment. Edge listeners ignore that of
/// their callers.
///
/// Cloning is cheap.
///
/// ```
/// use rpc_runtime::Principal;
///
/// let alice = Principal::new("alice").with_role("operator").with_claim("tenant", "blue");
/// assert_eq!(alice.subject(), "alice");
/// assert!(alice.has_role("operator"));
/// assert_eq!(alice.claim("tenant"), Some("blue"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Principal(Arc<Fields>);

/// The fields of a principal, as they are on the wire.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "sub")]
    subject: String,
    /// Sorted, without duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    claims: BTreeMap<String, String>,
}

impl Principal {
    /// Creates a principal without roles and claims. The subject identifies the user among all
    /// users of the system.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        Self(Arc::new(Fields {
            subject: subject.into(),
            roles: Vec::new(),
            claims: BTreeMap::new(),
        }))
    }

    /// Adds a role, such as `operator`.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        let role = role.into();
        let roles = &mut Arc::make_mut(&mut self.0).roles;
        if let Err(index) = roles.binary_search(&role) {
            roles.insert(index, role);
        }
        self
    }

    /// Sets a claim: a fact about the user, such as the tenant.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let claims = &mut Arc::make_mut(&mut self.0).claims;
        claims.insert(name.into(), value.into());
        self
    }

    /// Returns the name of the user.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Returns the roles, sorted by name.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(String::as_str)
    }

    /// Returns whether the user has a role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.0.roles.iter().any(|own| own == role)
    }

    /// Returns the value of a claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.0.claims.get(name).map(String::as_str)
    }

    /// Returns the names and values of all claims, sorted by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.0.claims.iter();
        claims.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the form that is sent: JSON as base64url without padding.
    pub(crate) fn encode(&self) -> String {
        // Texts are always written.
        let json = serde_json::to_vec(&*self.0).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads the form that is sent. `None` if it is not valid.
    pub(crate) fn decode(encoded: &str) -> Option<Self> {
        if encoded.len() > PRINCIPAL_LIMIT {
            return None;
        }
        let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let mut fields: Fields = serde_json::from_slice(&json).ok()?;
        fields.roles.sort_unstable();
        fields.roles.dedup();
        (!fields.subject.is_empty()).then(|| Self(Arc::new(fields)))
    }

    /// Checks that the principal can be sent.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for an empty subject, `invalid_argument` above [`PRINCIPAL_LIMIT`]; the
    /// text names the largest part.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.0.subject.is_empty() {
            let text = "the credentials name no user: the subject is empty";
            return Err(Error::without_location(Code::Unauthenticated, text));
        }
        let length = self.encode().len();
        if length <= PRINCIPAL_LIMIT {
            return Ok(());
        }
        let text = format!(
            "the principal takes {length} bytes, more than the limit of {PRINCIPAL_LIMIT}; its largest part is {}",
            self.largest_part()
        );
        Err(Error::without_location(Code::InvalidArgument, text))
    }

    /// Returns the name of the part that takes most bytes.
    fn largest_part(&self) -> String {
        let fields = &*self.0;
        let roles: usize = fields.roles.iter().map(String::len).sum();
        let claims = fields.claims.iter();
        let claim = claims.max_by_key(|(name, value)| name.len() + value.len());
        let (name, bytes) = claim.map_or(("", 0), |(name, value)| {
            (name.as_str(), name.len() + value.len())
        });
        if bytes >= roles && bytes >= fields.subject.len() {
            let end = name.floor_char_boundary(QUOTED);
            format!("the claim `{}`", name[..end].escape_debug())
        } else if roles >= fields.subject.len() {
            "the list of roles".to_owned()
        } else {
            "the subject".to_owned()
        }
    }
}

/// Prints the subject and the roles. Claims may hold what belongs in no log.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("subject", &self.0.subject)
            .field("roles", &self.0.roles)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoded_form_is_read_again() {
        let full = Principal::new("zoë@example")
            .with_role("b")
            .with_role("a")
            .with_role("b")
            .with_claim("tenant", "blue");
        assert_eq!(full.roles().collect::<Vec<_>>(), ["a", "b"]);
        for principal in [Principal::new("a"), full] {
            let decoded = Principal::decode(&principal.encode()).unwrap();
            assert_eq!(decoded, principal);
        }
        let encoded = Principal::new("alice").with_role("operator").encode();
        let json = URL_SAFE_NO_PAD.decode(encoded).unwrap();
        assert_eq!(json, br#"{"sub":"alice","roles":["operator"]}"#);
    }

    #[test]
    fn what_is_no_principal_is_not_read() {
        let long = Principal::new("a".repeat(PRINCIPAL_LIMIT)).encode();
        let json = |json: &str| URL_SAFE_NO_PAD.encode(json);
        for encoded in [
            String::new(),
            "a".to_owned(),
            "{}".to_owned(),
            long,
            json("{}"),
            json(r#"{"sub":""}"#),
            json(r#"{"sub":1}"#),
            json(r#"{"sub":"a","sub":"b"}"#),
            json(r#"{"sub":"a","roles":"r"}"#),
            json(r#"{"sub":"a","claims":{"n":1}}"#),
            json(r#"{"sub":"a","admin":true}"#),
            json(r#"{"sub":"a"} "#) + "=",
            json("[\"a\",[],{}]x"),
        ] {
            assert_eq!(Principal::decode(&encoded), None, "{encoded}");
        }
    }

    #[test]
    fn the_largest_part_is_named() {
        let long = || "x".repeat(PRINCIPAL_LIMIT);
        let named = "the claim `tenant`";
        for (principal, part) in [
            (Principal::new(long()), "the subject"),
            (Principal::new("a").with_role(long()), "the list of roles"),
            (Principal::new("a").with_claim("tenant", long()), named),
            (Principal::new("a").with_claim(long(), ""), "the claim `xxx"),
        ] {
            let error = principal.check().unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
            assert!(error.message().contains(part), "{error}");
        }
        let error = Principal::new("").check();
        assert_eq!(error.unwrap_err().code(), Code::Unauthenticated);
    }
}
