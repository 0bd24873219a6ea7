//! JSON Web Tokens (RFC 7519), signed (RFC 7515).

mod keys;

use std::borrow::Cow;
use std::fmt;
use std::future::ready;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

pub use self::keys::{JwtKey, JwtKeys};
use super::Authenticator;
use super::bearer::{self, is_token};
use crate::context::{Context, Principal};
use crate::error::{Code, Error, Result};
use crate::middleware::BoxFuture;

/// The maximum length of a token, in bytes.
const MAX_TOKEN: usize = 8 << 10;

/// The time by which the clocks of issuer and server may differ.
const LEEWAY: Duration = Duration::from_secs(30);

/// The maximum of [`JwtAuth::leeway`].
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Authenticates users by a JSON Web Token, as `Authorization: Bearer …` has it. Needs the feature
/// `jwt`.
///
/// A token needs a signature by a key of the server with the algorithm of this key, `sub` and
/// `exp`, and the issuer and audience that are set here. `nbf` is checked if it is there. A token
/// with an audience is refused if no audience is set, because it is for another server. Tokens with
/// `crit`, and above 8 KiB, are refused. Headers with keys or URLs of keys are not used.
///
/// The subject is `sub` as it is, so all issuers of one server must name their users in one way.
///
/// A refused token is `unauthenticated`. The caller learns whether it has expired; the log has the
/// rule that it breaks, never the token.
///
/// ```
/// use rpc_runtime::Server;
/// use rpc_runtime::authentication::{JwtAuth, JwtKeys};
///
/// # let jwk_set = serde_json::json!({"keys": [{"kty": "oct", "k": "c2VjcmV0LW9mLWF0LWxlYXN0LTMyLWJ5dGVzLWluLWFsbA"}]});
/// // As the issuer serves it at its `jwks_uri`. `replace` puts new keys in their place.
/// let keys = JwtKeys::from_jwk_set(&jwk_set)?;
/// let users = JwtAuth::new(keys.clone())
///     .issuer("https://login.shop.test")
///     .audience("shop")
///     .roles_claim("/realm_access/roles")
///     .claim("tenant");
/// let server = Server::new("shop").authenticate(users);
/// # drop(server);
/// # Ok::<(), rpc_runtime::Error>(())
/// ```
pub struct JwtAuth {
    keys: JwtKeys,
    validation: Validation,
    roles: String,
    claims: Vec<String>,
}

impl JwtAuth {
    /// Creates an authenticator.
    pub fn new(keys: impl Into<JwtKeys>) -> Self {
        let mut validation = Validation::default();
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        Self {
            keys: keys.into(),
            validation,
            roles: "roles".to_owned(),
            claims: Vec::new(),
        }
    }

    /// Accepts tokens of this issuer (`iss`) only. May be called repeatedly, with further issuers.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        require(&mut self.validation, "iss");
        let issuers = self.validation.iss.get_or_insert_default();
        issuers.insert(issuer.into());
        self
    }

    /// Accepts tokens for this audience (`aud`) only, such as the name of the API. May be called
    /// repeatedly, with further audiences.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        require(&mut self.validation, "aud");
        let audiences = self.validation.aud.get_or_insert_default();
        audiences.insert(audience.into());
        self
    }

    /// Sets by how much the clock of the issuer may differ, in whole seconds: 30 s by default, at
    /// most 5 min.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway.min(MAX_LEEWAY).as_secs();
        self
    }

    /// Sets the claim that has the roles, `roles` by default: a list of texts, or one text with
    /// spaces between them, as `scope` has it. A name that begins with `/` is a JSON pointer, such
    /// as `/realm_access/roles`.
    #[must_use]
    pub fn roles_claim(mut self, name: impl Into<String>) -> Self {
        self.roles = name.into();
        self
    }

    /// Takes a claim over into the [`Principal`], if the token has it. A value that is not a text
    /// is JSON. May be called repeatedly. Other claims are left out, because a principal has at
    /// most 2 KiB.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>) -> Self {
        self.claims.push(name.into());
        self
    }

    fn verify(&self, token: &str) -> Result<Principal, BrokenRule> {
        if token.len() > MAX_TOKEN {
            return Err(BrokenRule::token("it has more than 8 KiB"));
        }
        let header = header(token)?;
        let algorithm = header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.ok_or(BrokenRule::token("its header has no `alg`"))?;
        if algorithm.eq_ignore_ascii_case("none") {
            return Err(BrokenRule::token("it is not signed: `alg` is `none`"));
        }
        if header.contains_key("crit") {
            return Err(BrokenRule::token("its header has `crit`"));
        }
        let algorithm = algorithm.parse::<Algorithm>();
        let algorithm = algorithm.map_err(|_| BrokenRule::token("its `alg` is not known"))?;
        let id = header.get("kid").map(Value::as_str);
        let keys = self.keys.current();
        let named = keys.iter().filter(|key| match (id, &key.id) {
            (Some(id), Some(key)) => id == Some(key),
            _ => true,
        });
        let mut broken = BrokenRule::token("its `kid` names no key of this server");
        for key in named {
            if key.algorithm != algorithm {
                broken = BrokenRule::token("its `alg` is not that of the key");
                continue;
            }
            let mut validation = self.validation.clone();
            validation.algorithms = vec![key.algorithm];
            match jsonwebtoken::decode::<Map<String, Value>>(token, &key.key, &validation) {
                Ok(token) => return self.principal(&token.claims),
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                    broken = BrokenRule::from(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(broken)
    }

    /// Returns the user of a token that was verified.
    fn principal(&self, claims: &Map<String, Value>) -> Result<Principal, BrokenRule> {
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(BrokenRule::claims("its claim `sub` is empty"))?;
        let mut principal = Principal::new(subject);
        for role in self.roles(claims)? {
            principal = principal.with_role(role);
        }
        for name in &self.claims {
            principal = match claims.get(name) {
                None | Some(Value::Null) => principal,
                Some(Value::String(text)) => principal.with_claim(name, text),
                Some(other) => principal.with_claim(name, other.to_string()),
            };
        }
        Ok(principal)
    }

    fn roles<'c>(&self, claims: &'c Map<String, Value>) -> Result<Vec<&'c str>, BrokenRule> {
        let value = match self.roles.strip_prefix('/') {
            None => claims.get(&self.roles),
            Some(path) => {
                let (first, rest) = path
                    .split_once('/')
                    .map_or((path, ""), |(first, _)| (first, &path[first.len()..]));
                let name = first.replace("~1", "/").replace("~0", "~");
                claims.get(&name).and_then(|value| value.pointer(rest))
            }
        };
        let texts = match value {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::String(text)) => Some(text.split_ascii_whitespace().collect()),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect(),
            Some(_) => None,
        };
        texts.ok_or(BrokenRule::claims(
            "its claim with the roles is no list of texts",
        ))
    }
}

fn require(validation: &mut Validation, claim: &str) {
    validation.required_spec_claims.insert(claim.to_owned());
}

/// Reads the header of a token, which is not verified yet.
fn header(token: &str) -> Result<Map<String, Value>, BrokenRule> {
    let mut parts = token.split('.');
    let first = parts.next().filter(|_| is_token(token));
    if first.is_none() || parts.count() != 2 {
        return Err(BrokenRule::token("it does not have the form of a JWT"));
    }
    let json = URL_SAFE_NO_PAD.decode(first.unwrap_or_default()).ok();
    let header = json.and_then(|json| serde_json::from_slice(&json).ok());
    header.ok_or(BrokenRule::token("its header is not JSON as base64url"))
}

impl Authenticator for JwtAuth {
    fn authenticate(&self, context: Context) -> BoxFuture<Result<Option<Principal>>> {
        let outcome = match bearer::credentials(&context, "bearer") {
            Ok(None) => Ok(None),
            Ok(Some(token)) => self.verify(token).map(Some).map_err(Error::from),
            Err(error) => Err(error),
        };
        Box::pin(ready(outcome))
    }

    fn has_credentials(&self, context: &Context) -> bool {
        !matches!(bearer::credentials(context, "bearer"), Ok(None))
    }

    fn challenge(&self) -> Option<String> {
        Some("Bearer".to_owned())
    }
}

/// A rule that a token breaks.
struct BrokenRule {
    /// The text for the caller.
    public: &'static str,
    /// The text for the log.
    rule: Cow<'static, str>,
}

impl BrokenRule {
    /// Returns a rule that anybody can break, with a token of their own.
    const fn token(rule: &'static str) -> Self {
        Self {
            public: "the token is not valid",
            rule: Cow::Borrowed(rule),
        }
    }

    /// Returns a rule about the claims of a token that the issuer has signed.
    const fn claims(rule: &'static str) -> Self {
        Self {
            public: "the token is not for this server",
            rule: Cow::Borrowed(rule),
        }
    }
}

impl From<JwtError> for BrokenRule {
    fn from(error: JwtError) -> Self {
        match error.kind() {
            ErrorKind::ExpiredSignature => Self {
                public: "the token has expired",
                rule: Cow::Borrowed("its `exp` is in the past"),
            },
            ErrorKind::ImmatureSignature => Self {
                public: "the token is not valid yet",
                rule: Cow::Borrowed("its `nbf` is in the future"),
            },
            ErrorKind::InvalidIssuer => Self::claims("its `iss` is another issuer"),
            ErrorKind::InvalidAudience => Self::claims("its `aud` is another audience"),
            ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => Self {
                rule: Cow::Owned(format!("its claim `{name}` is missing or malformed")),
                ..Self::claims("")
            },
            ErrorKind::InvalidSignature => Self::token("its signature is not that of the key"),
            _ => Self::token("it is malformed"),
        }
    }
}

impl From<BrokenRule> for Error {
    fn from(broken: BrokenRule) -> Self {
        Self::without_location(Code::Unauthenticated, broken.public).with_source(broken.rule)
    }
}

impl fmt::Debug for JwtAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuth")
            .field("keys", &self.keys.current())
            .field("issuers", &self.validation.iss)
            .field("audiences", &self.validation.aud)
            .finish_non_exhaustive()
    }
}
