//! The user on whose behalf a call runs.

mod encoding;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

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
#[derive(Clone)]
pub struct Principal(Arc<Fields>);

/// A part of the text of a principal.
type Span = Range<usize>;

/// The fields of a principal. They are parts of one text, since a server reads a principal with
/// every call.
#[derive(Clone, Default)]
struct Fields {
    text: String,
    subject: Span,
    /// Sorted by their texts, without duplicates.
    roles: Vec<Span>,
    /// The names and values, sorted by name, without duplicates.
    claims: Vec<(Span, Span)>,
    /// The form that is sent, once it is needed.
    encoded: OnceLock<Bytes>,
}

impl Principal {
    /// Creates a principal without roles and claims. The subject identifies the user among all
    /// users of the system.
    #[must_use]
    pub fn new(subject: impl Into<String>) -> Self {
        let text = subject.into();
        Self(Arc::new(Fields {
            subject: 0..text.len(),
            text,
            ..Fields::default()
        }))
    }

    /// Adds a role, such as `operator`.
    #[must_use]
    pub fn with_role(mut self, role: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).add_role(&role.into());
        self
    }

    /// Sets a claim: a fact about the user, such as the tenant.
    #[must_use]
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).set_claim(&name.into(), &value.into());
        self
    }

    /// Returns the name of the user.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.0.part(&self.0.subject)
    }

    /// Returns the roles, sorted by name.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.0.roles.iter().map(|role| self.0.part(role))
    }

    /// Returns whether the user has a role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().any(|own| own == role)
    }

    /// Returns the value of a claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        let index = self.0.claim_index(name).ok()?;
        Some(self.0.part(&self.0.claims[index].1))
    }

    /// Returns the names and values of all claims, sorted by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.0.claims.iter();
        claims.map(|(name, value)| (self.0.part(name), self.0.part(value)))
    }

    /// Returns the form that is sent: `sub=alice;role=operator;claim=tenant:blue`.
    pub(crate) fn encoded(&self) -> &Bytes {
        self.0.encoded.get_or_init(|| encoding::encode(self).into())
    }

    /// Reads the form that is sent. `None` if it is not valid.
    pub(crate) fn decode(encoded: &str) -> Option<Self> {
        if encoded.len() > PRINCIPAL_LIMIT {
            return None;
        }
        let fields = encoding::decode(encoded)?;
        (!fields.subject.is_empty()).then(|| Self(Arc::new(fields)))
    }

    /// Checks that the principal can be sent.
    ///
    /// # Errors
    ///
    /// `unauthenticated` for an empty subject, `invalid_argument` above [`PRINCIPAL_LIMIT`]; the
    /// text names the largest part.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.subject().is_empty() {
            let text = "the credentials name no user: the subject is empty";
            return Err(Error::without_location(Code::Unauthenticated, text));
        }
        let length = self.encoded().len();
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
        let roles: usize = self.roles().map(str::len).sum();
        let claim = self
            .claims()
            .max_by_key(|(name, value)| name.len() + value.len());
        let (name, bytes) = claim.map_or(("", 0), |(name, value)| (name, name.len() + value.len()));
        if bytes >= roles && bytes >= self.subject().len() {
            let end = name.floor_char_boundary(QUOTED);
            format!("the claim `{}`", name[..end].escape_debug())
        } else if roles >= self.subject().len() {
            "the list of roles".to_owned()
        } else {
            "the subject".to_owned()
        }
    }
}

impl Fields {
    fn part(&self, span: &Span) -> &str {
        &self.text[span.clone()]
    }

    fn push(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        start..self.text.len()
    }

    fn add_role(&mut self, role: &str) {
        let found = self.roles.binary_search_by(|own| self.part(own).cmp(role));
        if let Err(index) = found {
            let role = self.push(role);
            self.roles.insert(index, role);
            self.encoded = OnceLock::new();
        }
    }

    fn set_claim(&mut self, name: &str, value: &str) {
        let value = self.push(value);
        match self.claim_index(name) {
            Ok(index) => self.claims[index].1 = value,
            Err(index) => {
                let name = self.push(name);
                self.claims.insert(index, (name, value));
            }
        }
        self.encoded = OnceLock::new();
    }

    /// Returns the index of a claim, or that at which it belongs.
    fn claim_index(&self, name: &str) -> Result<usize, usize> {
        let claims = &self.claims;
        claims.binary_search_by(|(own, _)| self.part(own).cmp(name))
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        let is_same = Arc::ptr_eq(&self.0, &other.0);
        is_same
            || self.subject() == other.subject()
                && self.roles().eq(other.roles())
                && self.claims().eq(other.claims())
    }
}

impl Eq for Principal {}

/// Prints the subject and the roles. Claims may hold what belongs in no log.
impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("subject", &self.subject())
            .field("roles", &self.roles().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(principal: &Principal) -> &str {
        std::str::from_utf8(principal.encoded()).unwrap()
    }

    #[test]
    fn the_encoded_form_is_read_again() {
        let full = Principal::new("zoë@example")
            .with_role("b")
            .with_role("a")
            .with_role("b")
            .with_claim("tenant", "blue")
            .with_claim("a:b;c", "50 % \"\\,\u{7f}\n")
            .with_claim("tenant", "red");
        assert_eq!(full.roles().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(full.claim("tenant"), Some("red"));
        let empty = Principal::new("a").with_role("").with_claim("", "");
        for principal in [Principal::new("a"), full.clone(), empty] {
            let decoded = Principal::decode(encoded(&principal)).unwrap();
            assert_eq!(decoded, principal);
            assert_eq!(encoded(&decoded), encoded(&principal));
        }
        let sent = "sub=zo%C3%AB@example;role=a;role=b;claim=a%3Ab%3Bc:50%20%25%20%22%5C%2C%7F%0A;claim=tenant:red";
        assert_eq!(encoded(&full), sent);
        // The form is made anew after a change.
        let changed = full.with_role("c").with_claim("tenant", "blue");
        assert!(encoded(&changed).contains(";role=c;"));
        assert!(encoded(&changed).ends_with(";claim=tenant:blue"));
        assert_ne!(Principal::new("a"), Principal::new("a").with_role("b"));
        assert_ne!(Principal::new("a"), Principal::new("a").with_claim("b", ""));
        assert_ne!(Principal::new("a"), Principal::new("b"));
    }

    #[test]
    fn what_is_no_principal_is_not_read() {
        let long = format!("sub={}", "a".repeat(PRINCIPAL_LIMIT - 3));
        for encoded in [
            "",
            "a",
            "sub",
            "sub=",
            "sub=a;",
            ";sub=a",
            "sub=a;role",
            "sub=a;sub=b",
            "sub=a;role=b;sub=a",
            "role=b;sub=a",
            "sub=a;admin=true",
            "sub=a;claim=n",
            "sub=a;claim=n:1:2",
            "sub=a;claim=n:1;claim=n:1",
            "sub=a;claim=n:1;claim=%6E:2",
            "sub=a b",
            "sub=a, sub=b",
            "sub=\"a\"",
            "sub=zoë",
            "sub=%",
            "sub=%4",
            "sub=%zz",
            "sub=%ff",
            "sub=a\n",
            "SUB=a",
            "eyJzdWIiOiJyb290In0",
            &long,
        ] {
            assert_eq!(Principal::decode(encoded), None, "{encoded}");
        }
        assert!(Principal::decode(&long[..PRINCIPAL_LIMIT]).is_some());
        // Roles in any order and repeated are the same.
        let roles = Principal::decode("sub=a;role=c;role=b;role=c").unwrap();
        assert_eq!(roles.roles().collect::<Vec<_>>(), ["b", "c"]);
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
