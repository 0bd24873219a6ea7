use super::*;

const SECRET: &str = "pL0m8gk0TzXqYy1oG2v3b4n5m6Q7w8e9r0t1y2u3i4o=";
const OTHER: &str = "Zk3v9c8x7z6Q5w4e3r2t1y0u9i8o7p6a5s4d3f2g1h0=";
const NOW: u64 = 1_795_000_000_000;
const BODY: &[u8] = br#"{"message":"test_msg"}"#;

fn keys(text: &str) -> IdentityKeys {
    IdentityKeys::parse(text).unwrap()
}

fn one_key() -> IdentityKeys {
    keys(&format!("2026-11 {SECRET}"))
}

fn call() -> SignableRequest<'static> {
    SignableRequest {
        audience: "fibpro.v1.LogSink",
        host: "10.0.0.7",
        verb: "POST",
        target: "/fibpro.v1.LogSink/RecvLog",
        headers: vec![
            ("x-request-id", b"3b9d41f8a0c2e576"),
            ("x-rpc-source", b"controller@prod/a1"),
        ],
    }
}

fn refused(keys: IdentityKeys, call: &SignableRequest<'_>, header: &str, now: u64) -> String {
    let error = Verifier::new(keys)
        .verify_at(call, header, now)
        .unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    error.message().to_owned()
}

/// The golden header was made with `openssl dgst -sha256 -mac HMAC` over the lines in the
/// documentation of the module; other implementations must produce the same.
#[test]
fn golden() {
    let header = signature::sign(&one_key(), &call(), BODY, NOW, 0x2a);
    let golden = include_str!("../../golden/identity_header.txt");
    assert_eq!(header, golden.trim_end());
    let digest = Verifier::new(one_key())
        .verify_at(&call(), &header, NOW)
        .unwrap();
    assert_eq!(digest, BodyDigest::of(BODY));
    assert!(digest.check(BODY).is_ok() && digest.check(b"{}").is_err());
}

#[test]
fn any_change_invalidates_the_signature() {
    let header = signature::sign(&one_key(), &call(), BODY, NOW, 1);
    let changed: [fn(&mut SignableRequest<'static>); 8] = [
        |call| call.audience = "fibpro.v1.LogSource",
        |call| call.host = "10.0.0.8",
        |call| call.verb = "GET",
        |call| call.target = "/fibpro.v1.LogSink/Clear",
        |call| call.target = "/fibpro.v1.LogSink/RecvLog?x=1",
        |call| call.headers[1].1 = b"gatekeeper@prod/a1",
        |call| call.headers.push(("x-rpc-override", b"pricing=evil")),
        |call| call.headers.truncate(1),
    ];
    for (index, change) in changed.into_iter().enumerate() {
        let mut call = call();
        change(&mut call);
        let text = refused(one_key(), &call, &header, NOW);
        assert!(text.contains("invalid signature"), "{index}: {text}");
    }
    let parts: Vec<_> = header.split('.').collect();
    for (index, value) in [
        (1, "2026-12"),
        (2, "1795000000001"),
        (3, "00000000000000000000000000000002"),
        (4, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        (5, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        let mut parts = parts.clone();
        parts[index] = value;
        refused(one_key(), &call(), &parts.join("."), NOW);
    }
}

#[test]
fn a_malformed_signature_is_rejected() {
    let good = signature::sign(&one_key(), &call(), BODY, NOW, 1);
    let edits = [
        String::new(),
        "v1".to_owned(),
        ".....".to_owned(),
        good.replace("v1.", "v2."),
        format!("{good}.x"),
        format!("{good}="),
        good[..good.len() - 1].to_owned(),
        good.replace(".1795", ".+1795"),
        good.replace(".1795000000000.", ".."),
        good.replace(".1795000000000.", ".99999999999999999999999999."),
        good.replace("0001.", "00\u{e9}1."),
        good.replace("2026-11", "two words"),
        good.replace("2026-11", &"k".repeat(65)),
    ];
    for bad in edits {
        let text = refused(one_key(), &call(), &bad, NOW);
        assert!(
            text.contains("invalid header x-rpc-identity"),
            "{bad}: {text}"
        );
    }
}

#[test]
fn a_signature_is_valid_for_thirty_seconds_either_way() {
    let header = signature::sign(&one_key(), &call(), BODY, NOW, 1);
    for now in [NOW - VALID_MS, NOW, NOW + VALID_MS] {
        assert!(
            Verifier::new(one_key())
                .verify_at(&call(), &header, now)
                .is_ok()
        );
    }
    let text = refused(one_key(), &call(), &header, NOW + VALID_MS + 1);
    assert!(text.contains("30 s ago"), "{text}");
    let text = refused(one_key(), &call(), &header, NOW - 3_600_000);
    assert!(
        text.contains("3600 s ahead") && text.contains("clocks"),
        "{text}"
    );
    // Only a caller with the key learns that its clock is wrong.
    let stranger = signature::sign(&keys(&format!("2026-11 {OTHER}")), &call(), BODY, 0, 1);
    assert!(refused(one_key(), &call(), &stranger, NOW).contains("another secret"));
}

#[test]
fn a_call_counts_once() {
    let verifier = Verifier::new(one_key());
    let header = signature::sign(&one_key(), &call(), BODY, NOW, 1);
    assert!(verifier.verify_at(&call(), &header, NOW).is_ok());
    let error = verifier.verify_at(&call(), &header, NOW + 1).unwrap_err();
    assert!(error.message().contains("replayed call"), "{error}");
    // The next one, in the same millisecond, is another one.
    let next = sign(&one_key(), &call(), BODY);
    let other = sign(&one_key(), &call(), BODY);
    assert_ne!(next, other);
    assert!(verifier.verify(&call(), &next).is_ok() && verifier.verify(&call(), &other).is_ok());
}

#[test]
fn a_jump_of_the_clock_admits_no_recorded_call() {
    for jump in [31_000, 120_000, 20 * 365 * 86_400_000] {
        let verifier = Verifier::new(one_key());
        let header = signature::sign(&one_key(), &call(), BODY, NOW, 1);
        assert!(verifier.verify_at(&call(), &header, NOW).is_ok());
        // Another call, while the clock is ahead.
        let ahead = signature::sign(&one_key(), &call(), BODY, NOW + jump, 2);
        assert!(verifier.verify_at(&call(), &ahead, NOW + jump).is_ok());
        let error = verifier.verify_at(&call(), &header, NOW).unwrap_err();
        assert!(error.message().contains("replayed call"), "{error}");
        let new = signature::sign(&one_key(), &call(), BODY, NOW, 3);
        assert!(verifier.verify_at(&call(), &new, NOW).is_ok());
    }
}

#[test]
fn servers_accept_each_other_during_key_rotation() {
    let (old, new) = (format!("old {OTHER}"), format!("new {SECRET}"));
    let steps = [
        old.clone(),
        format!("{old}\n{new}"),
        format!("{new}\n{old}"),
        new.clone(),
    ];
    for pair in steps.windows(2) {
        for (from, to) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let header = signature::sign(&keys(from), &call(), BODY, NOW, 1);
            assert!(
                Verifier::new(keys(to))
                    .verify_at(&call(), &header, NOW)
                    .is_ok()
            );
        }
    }
    let header = signature::sign(&keys(&old), &call(), BODY, NOW, 1);
    let text = refused(keys(&new), &call(), &header, NOW);
    assert!(text.contains("unknown identity key `old`"), "{text}");
}

#[test]
fn a_key_file_error_has_the_line_but_no_secret() {
    for (text, problem) in [
        ("", "0 keys"),
        ("# only a comment\n\n", "0 keys"),
        (SECRET, "two words"),
        ("a b c", "two words"),
        (&format!("{SECRET} a"), "before the secret"),
        (
            "\na canary",
            "line 2 of the keys: the secret of `a` has 6 bytes",
        ),
        (&format!("a {SECRET}\na {OTHER}"), "duplicate key ID `a`"),
        (&format!("a.b {SECRET}"), "invalid key ID"),
        (
            &format!("a \"{SECRET}\""),
            "the secret of `a` is in quotes, which would be a part of it",
        ),
        (&format!("a '{SECRET}'"), "in quotes"),
        (&format!("a {SECRET}\""), "in quotes"),
        (&format!("a \u{201c}{SECRET}\u{201d}"), "in quotes"),
        (&format!("'a' {SECRET}"), "invalid key ID"),
    ] {
        let error = IdentityKeys::parse(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
        assert!(
            !error.contains("canary") && !error.contains(SECRET),
            "{error}"
        );
    }
    let many: String = (0..17).map(|n| format!("k{n} {SECRET}\n")).collect();
    assert!(IdentityKeys::parse(&many).is_err());
}

#[test]
fn an_invalid_reloaded_file_changes_nothing() {
    let path = std::env::temp_dir().join(format!(
        "rpc-keys-{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let missing = IdentityKeys::from_file(&path).unwrap_err();
    assert_eq!(missing.code(), Code::FailedPrecondition, "{missing}");
    std::fs::write(&path, format!("# first\na {SECRET}\n")).unwrap();
    let keys = IdentityKeys::from_file(&path).unwrap();
    let clone = keys.clone();
    std::fs::write(&path, format!("b {SECRET}\na {OTHER}\n")).unwrap();
    assert_eq!(clone.ids(), ["a"]);
    keys.reload().unwrap();
    assert_eq!(clone.ids(), ["b", "a"]);
    std::fs::write(&path, "b short").unwrap();
    assert!(keys.reload().is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(keys.reload().is_err());
    assert_eq!(clone.ids(), ["b", "a"]);
    assert!(one_key().reload().is_err());
}
