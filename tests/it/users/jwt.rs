//! JSON Web Tokens: keys, rules, and what the principal gets.

/// Tokens that break a rule.
mod bad;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{KeyPair, SigningKey as _};
use rpc_runtime::Limits;
use rpc_runtime::authentication::{JwtAuth, JwtKey, JwtKeys};
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"a secret of at least 32 bytes in all";
const ISSUER: &str = "https://login.shop.test";

/// Returns the claims of a valid token of zoë.
fn claims() -> Value {
    json!({
        "sub": "zoë", "iss": ISSUER, "aud": ["desk", "shop"], "exp": get_current_timestamp() + 600,
        "roles": ["operator", "auditor", "operator"], "tenant": "blue", "photo": "x".repeat(4000),
    })
}

/// Returns valid claims with this claim instead, or without it if it is `null`.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let map = claims.as_object_mut().unwrap();
    if value.is_null() {
        map.remove(name);
    } else {
        map.insert(name.to_owned(), value);
    }
    claims
}

fn hmac(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns a token with this header, signed with HMAC.
fn hmac_with(header: &Value, claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        base64(header.to_string()),
        base64(claims.to_string())
    );
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Returns a server whose user the tokens of these keys name.
async fn desk_with(vault: &Running, keys: impl Into<JwtKeys>) -> Running {
    let users = JwtAuth::new(keys)
        .issuer(ISSUER)
        .audience("desk")
        .claim("tenant");
    desk_of(vault, users).await
}

async fn desk_of(vault: &Running, users: JwtAuth) -> Running {
    let mut limits = Limits::default();
    limits.wrong_credentials_per_peer = usize::MAX;
    let server = desk(vault)
        .authenticate(users)
        .allow_anonymous("users.v1.Desk/Hours")
        .limits(limits);
    Running::start(server).await
}

async fn hours(desk: &Running, token: &str) -> Response {
    call(desk, "Hours", &format!("Bearer {token}"), "{}").await
}

const ZOE: &str = "zoë [auditor,operator] blue";

#[tokio::test]
async fn the_user_of_a_token_reaches_the_next_service() {
    let vault = vault().await;
    let desk = desk_with(&vault, JwtKey::hmac(SECRET).unwrap()).await;
    let response = call(&desk, "Who", &format!("Bearer {}", hmac(&claims())), "{}").await;
    assert_eq!(response.value(), (200, json!([ZOE, ZOE, ZOE])));
    assert_eq!(
        hours(&desk, &hmac(&claims())).await.value(),
        (200, json!(ZOE))
    );
    assert_eq!(
        call(&desk, "Hours", "", "{}").await.value(),
        (200, json!("-"))
    );
    assert_eq!(call(&desk, "Who", "", "{}").await.status, 401);
    assert_eq!(call(&desk, "Who", "Basic YTpi", "{}").await.status, 401);
}

/// Signs a token with a key of `rcgen`, whose signatures of EC have another form.
fn sign(algorithm: Algorithm, key: &KeyPair, id: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = id.map(str::to_owned);
    if matches!(algorithm, Algorithm::ES256 | Algorithm::ES384) {
        let key = EncodingKey::from_ec_der(&key.serialize_der());
        return encode(&header, claims, &key).unwrap();
    }
    let header = base64(serde_json::to_vec(&header).unwrap());
    let message = format!("{header}.{}", base64(claims.to_string()));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", base64(signature))
}

#[tokio::test]
async fn each_type_of_key_has_its_algorithm() {
    let vault = vault().await;
    let p384 = &rcgen::PKCS_ECDSA_P384_SHA384;
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    for (key, algorithm) in [
        (
            KeyPair::generate_for(&rcgen::PKCS_ED25519),
            Algorithm::EdDSA,
        ),
        (KeyPair::generate(), Algorithm::ES256),
        (KeyPair::generate_for(p384), Algorithm::ES384),
        (Ok(rsa), Algorithm::RS256),
    ] {
        let key = key.unwrap();
        let pem = key.public_key_pem();
        let desk = desk_with(&vault, JwtKey::from_pem(&pem).unwrap()).await;
        let token = sign(algorithm, &key, None, &claims());
        assert_eq!(hours(&desk, &token).await.value(), (200, json!(ZOE)));
        // The public key is no secret of HMAC, nor is any other algorithm that of the key.
        let secret = EncodingKey::from_secret(pem.as_bytes());
        let confused = encode(&Header::new(Algorithm::HS256), &claims(), &secret).unwrap();
        let renamed = sign(algorithm, &key, None, &claims());
        let (_, rest) = renamed.split_once('.').unwrap();
        let renamed = format!("{}.{rest}", base64(r#"{"alg":"PS256"}"#));
        for token in [confused, renamed, hmac(&claims())] {
            let refused = hours(&desk, &token).await;
            assert_eq!(refused.error(), (401, "unauthenticated".to_owned()));
            assert_eq!(refused.message(), "the token is not valid");
        }
        let other = KeyPair::generate_for(key.algorithm()).unwrap();
        let foreign = sign(algorithm, &other, None, &claims());
        assert_eq!(hours(&desk, &foreign).await.status, 401, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_set_of_keys_is_rotated() {
    let vault = vault().await;
    let pairs = [(); 3].map(|()| KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let jwk = |id: &str, pair: &KeyPair| json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(pair.public_key_raw())});
    let set = json!({"keys": [
        jwk("a", &pairs[0]),
        {"kty": "RSA", "kid": "weak", "n": base64([7; 128]), "e": "AQAB"},
        {"kty": "unknown", "kid": "c"},
        {"kty": "EC", "crv": "secp256k1", "kid": "d", "x": "", "y": ""},
        {"kty": "oct", "k": base64(SECRET), "use": "enc"},
        jwk("b", &pairs[1]),
    ]});
    let keys = JwtKeys::from_jwk_set(&set).unwrap();
    let desk = desk_with(&vault, keys.clone()).await;
    let token = |key: usize, id| sign(Algorithm::EdDSA, &pairs[key], id, &claims());
    for (token, status) in [
        (token(0, Some("a")), 200),
        (token(1, Some("b")), 200),
        (token(1, None), 200),
        (token(0, Some("b")), 401),
        (token(0, Some("weak")), 401),
        (token(0, Some("")), 401),
        (token(2, None), 401),
        (token(2, Some("a")), 401),
        // A key that encrypts signs nothing.
        (hmac(&claims()), 401),
    ] {
        assert_eq!(hours(&desk, &token).await.status, status, "{token}");
    }
    let next = json!({"keys": [jwk("b", &pairs[1]), jwk("c", &pairs[2])]});
    keys.replace(JwtKeys::from_jwk_set(&next).unwrap());
    for (token, status) in [
        (token(0, Some("a")), 401),
        (token(1, Some("b")), 200),
        (token(2, Some("c")), 200),
    ] {
        assert_eq!(hours(&desk, &token).await.status, status, "{token}");
    }
}

#[tokio::test]
async fn roles_are_in_the_claim_that_is_named() {
    let vault = vault().await;
    let key = || JwtKey::hmac(SECRET).unwrap();
    let claims = json!({
        "sub": "zoë", "exp": get_current_timestamp() + 600, "scope": "read  write",
        "https://shop.test/roles": ["a"], "realm": {"b/c": {"roles": ["d"]}}, "none": null,
        "number": 7, "mixed": ["a", 7],
    });
    for (claim, expected) in [
        ("scope", Some("zoë [read,write] ")),
        ("https://shop.test/roles", Some("zoë [a] ")),
        ("/realm/b~1c/roles", Some("zoë [d] ")),
        ("/scope", Some("zoë [read,write] ")),
        ("/realm/b/c", Some("zoë [] ")),
        ("none", Some("zoë [] ")),
        ("roles", Some("zoë [] ")),
        ("number", None),
        ("mixed", None),
        ("realm", None),
    ] {
        let desk = desk_of(&vault, JwtAuth::new(key()).roles_claim(claim)).await;
        let response = hours(&desk, &hmac(&claims)).await;
        match expected {
            Some(user) => assert_eq!(response.value(), (200, json!(user)), "{claim}"),
            None => assert_eq!(response.status, 401, "{claim}"),
        }
    }
}

#[test]
fn keys_that_verify_nothing_are_refused() {
    let pem = |label: &str, body: &str| {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let pair = KeyPair::generate().unwrap();
    let public = pair.public_key_pem();
    for (text, part) in [
        (String::new(), "is not PEM"),
        (format!("{public}{public}"), "is not PEM"),
        (public.replace("BEGIN", "BEGUN"), "is not PEM"),
        (pem("PUBLIC KEY", "*"), "is not PEM"),
        (pem("PUBLIC KEY", "AAAA"), "no valid public key"),
        (pem("RSA PUBLIC KEY", "AAAA"), "no valid RSA key"),
        (
            pair.serialize_pem(),
            "`PRIVATE KEY`; expected a `PUBLIC KEY`",
        ),
        (pem("CERTIFICATE", "AAAA"), "`CERTIFICATE`"),
    ] {
        let error = JwtKey::from_pem(&text).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(part), "{error}");
        assert!(!error.message().contains("AAAA"), "{error}");
    }
    let ec = || JwtKey::from_pem(&public).unwrap();
    for (key, part) in [
        (JwtKey::hmac("short"), "at least 32 bytes"),
        (
            JwtKey::hmac(SECRET).unwrap().with_algorithm("HS512"),
            "at least 64 bytes",
        ),
        (
            JwtKey::hmac(SECRET).unwrap().with_algorithm("RS256"),
            "another type",
        ),
        (ec().with_algorithm("ES384"), "the curve"),
        (ec().with_algorithm("none"), "not known"),
        (ec().with_algorithm(""), "not known"),
    ] {
        let error = key.unwrap_err();
        assert!(error.message().contains(part), "{error}");
    }
    for set in [
        json!(null),
        json!([]),
        json!({"keys": {}}),
        json!({"keys": []}),
        json!({"keys": [7, {"kty": "RSA"}, {"kty": "oct", "k": "AAAA"}]}),
        json!({"keys": vec![json!({"kty": "oct", "k": base64(SECRET)}); 33]}),
    ] {
        let error = JwtKeys::from_jwk_set(&set).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{set}");
    }
    let secret = format!("{:?}", JwtAuth::new(JwtKey::hmac(SECRET).unwrap()));
    assert!(!secret.contains("secret"), "{secret}");
}
