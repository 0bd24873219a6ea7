//! Tokens that are expired, foreign, unsigned, malformed or too large.

use super::*;
use crate::call_lines::Lines;

/// Returns the text that a caller gets for a token, and the rule in the log.
fn cases() -> Vec<(String, &'static str, &'static str)> {
    let now = get_current_timestamp();
    let invalid = "the token is not valid";
    let foreign = "the token is not for this server";
    let changed = |name, value: Value| hmac(&with(name, value));
    let headed = |header: Value| hmac_with(&header, &claims());
    let token = hmac(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let other = EncodingKey::from_secret(b"another secret of at least 32 bytes");
    let other = encode(&Header::new(Algorithm::HS256), &claims(), &other).unwrap();
    let expired = "the token has expired";
    let early = "the token is not valid yet";
    let shape = "it does not have the form of a JWT";
    let base64_header = "its header is not JSON as base64url";
    let signature = "its signature is not that of the key";
    vec![
        // Expired, and not valid yet.
        (changed("exp", json!(now - 60)), expired, "its `exp`"),
        (changed("exp", json!(0)), expired, "its `exp`"),
        (changed("nbf", json!(now + 60)), early, "its `nbf`"),
        (changed("nbf", json!(u64::MAX)), early, "its `nbf`"),
        // Claims that are missing or malformed.
        (changed("exp", json!(null)), foreign, "its claim `exp`"),
        (changed("exp", json!("never")), foreign, "its claim `exp`"),
        (changed("exp", json!(-1)), foreign, "its claim `exp`"),
        (changed("exp", json!(1e300)), foreign, "its claim `exp`"),
        (changed("nbf", json!("now")), foreign, "its claim `nbf`"),
        (changed("sub", json!(null)), foreign, "its claim `sub`"),
        (changed("sub", json!(7)), foreign, "its claim `sub`"),
        (changed("sub", json!("")), foreign, "its claim `sub`"),
        (changed("roles", json!({"a": 1})), foreign, "with the roles"),
        // Of another issuer, for another audience.
        (
            changed("iss", json!("https://evil.test")),
            foreign,
            "its `iss`",
        ),
        (changed("iss", json!(null)), foreign, "its claim `iss`"),
        (changed("aud", json!("vault")), foreign, "its `aud`"),
        (changed("aud", json!([])), foreign, "its `aud`"),
        (changed("aud", json!(null)), foreign, "its claim `aud`"),
        // Unsigned, of another key, changed.
        (headed(json!({"alg": "none"})), invalid, "it is not signed"),
        (headed(json!({"alg": "nOnE"})), invalid, "it is not signed"),
        (
            headed(json!({"alg": "RS256"})),
            invalid,
            "its `alg` is not that",
        ),
        (
            headed(json!({"alg": "HS384"})),
            invalid,
            "its `alg` is not that",
        ),
        (
            headed(json!({"alg": "XX"})),
            invalid,
            "its `alg` is not known",
        ),
        (
            headed(json!({"alg": 7})),
            invalid,
            "its header has no `alg`",
        ),
        (
            headed(json!({"typ": "JWT"})),
            invalid,
            "its header has no `alg`",
        ),
        (
            headed(json!({"alg": "HS256", "crit": ["exp"]})),
            invalid,
            "`crit`",
        ),
        (
            headed(json!({"alg": "HS256", "crit": null})),
            invalid,
            "`crit`",
        ),
        (headed(json!([])), invalid, base64_header),
        (other, invalid, signature),
        (format!("{}.{}.", parts[0], parts[1]), invalid, signature),
        (
            format!(
                "{}.{}.{}",
                parts[0],
                base64(with("sub", json!("root")).to_string()),
                parts[2]
            ),
            invalid,
            signature,
        ),
        // Malformed.
        ("a".to_owned(), invalid, shape),
        ("a.b".to_owned(), invalid, shape),
        ("a.b.c.d.e".to_owned(), invalid, shape),
        ("..".to_owned(), invalid, base64_header),
        ("a,b.c.d".to_owned(), invalid, shape),
        (format!("{token}="), invalid, "it is malformed"),
        (format!("e30=.{}.{}", parts[1], parts[2]), invalid, shape),
        // Too large, and deeply nested.
        (
            changed("photo", json!("x".repeat(10_000))),
            invalid,
            "more than 8 KiB",
        ),
        (
            hmac_with(
                &json!({"alg": "HS256"}),
                &serde_json::from_str(&nested(100)).unwrap(),
            ),
            foreign,
            "its claim",
        ),
        (
            format!("{}.b.c", base64(nested(1000))),
            invalid,
            base64_header,
        ),
    ]
}

fn nested(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

#[tokio::test]
async fn each_rule_refuses_and_is_in_the_log() {
    let vault = vault().await;
    for (token, text, rule) in cases() {
        // Each server logs the first refusal.
        let desk = desk_with(&vault, JwtKey::hmac(SECRET).unwrap()).await;
        let lines = Lines::start();
        let refused = hours(&desk, &token).await;
        assert_eq!(
            refused.error(),
            (401, "unauthenticated".to_owned()),
            "{rule}"
        );
        assert_eq!(refused.message(), text, "{rule}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let logged = lines.reasons.lock().unwrap().clone();
        let [reason] = &*logged else {
            panic!("{rule}: {logged:?}");
        };
        assert!(
            reason.contains(text) && reason.contains(rule),
            "{rule}: {reason}"
        );
        for part in token.split('.').filter(|part| part.len() > 5) {
            assert!(!reason.contains(part), "{rule}: {reason}");
        }
    }
}

#[tokio::test]
async fn the_clock_of_the_issuer_may_differ() {
    let vault = vault().await;
    let key = || JwtKey::hmac(SECRET).unwrap();
    let now = get_current_timestamp();
    for (leeway, claim, time, status) in [
        (None, "exp", now - 5, 200),
        (None, "nbf", now + 20, 200),
        (Some(0), "exp", now - 5, 401),
        (Some(120), "exp", now - 60, 200),
        // At most five minutes.
        (Some(u64::MAX), "exp", now - 600, 401),
        (Some(u64::MAX), "nbf", now + 600, 401),
        (Some(u64::MAX), "exp", now - 60, 200),
    ] {
        let mut users = JwtAuth::new(key()).audience("desk");
        if let Some(leeway) = leeway {
            users = users.leeway(std::time::Duration::from_secs(leeway));
        }
        let desk = desk_of(&vault, users).await;
        let response = hours(&desk, &hmac(&with(claim, json!(time)))).await;
        assert_eq!(response.status, status, "{leeway:?} {claim}");
    }
}

#[tokio::test]
async fn a_token_for_an_audience_needs_one_that_is_set() {
    let vault = vault().await;
    let desk = desk_of(&vault, JwtAuth::new(JwtKey::hmac(SECRET).unwrap())).await;
    assert_eq!(hours(&desk, &hmac(&claims())).await.status, 401);
    let for_anybody = hmac(&with("aud", json!(null)));
    assert_eq!(hours(&desk, &for_anybody).await.status, 200);
}

#[tokio::test]
async fn a_principal_that_is_too_large_names_its_claim() {
    let vault = vault().await;
    let users = JwtAuth::new(JwtKey::hmac(SECRET).unwrap())
        .audience("desk")
        .claim("photo");
    let desk = desk_of(&vault, users).await;
    let refused = hours(&desk, &hmac(&claims())).await;
    assert_eq!(refused.error().1, "invalid_argument");
    assert!(refused.message().ends_with("is the claim `photo`"));
}
