//! Users files that are accepted, and those that are refused.

use fibpro::service::userstore::UserList;

use crate::pinned::assert_pinned;

#[test]
fn users_files_are_accepted_as_pinned() {
    let of = |length| "x".repeat(length);
    let user = |fields: &str| format!("[{{{fields}}}]");
    let named = |name: &str| user(&format!(r#""username":"{name}","password":"p","credit":1"#));
    let with_password = |password: &str| {
        user(&format!(
            r#""username":"a","password":"{password}","credit":1"#
        ))
    };
    let with_credit = |credit: &str| {
        user(&format!(
            r#""username":"a","password":"p","credit":{credit}"#
        ))
    };
    let with_roles = |roles: &str| {
        user(&format!(
            r#""username":"a","password":"p","credit":1,"roles":{roles}"#
        ))
    };
    let cases = [
        include_str!("../../../etc/users.json").to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        String::new(),
        named("ada"),
        named("Ada Lovelace"),
        named("日本語"),
        named(""),
        named("a:b"),
        named(r"a\nb"),
        named(&of(64)),
        named(&of(65)),
        with_password(""),
        with_password("pässword"),
        with_password(&of(1024)),
        with_password(&of(1025)),
        user(r#""username":"a","credit":1"#),
        user(r#""username":"a","password":1,"credit":1"#),
        user(r#""username":"a","password":null,"credit":1"#),
        user(r#""password":"p","credit":1"#),
        user(r#""username":"a","password":"p""#),
        with_credit("0"),
        with_credit("1000000000000000"),
        with_credit("1000000000000001"),
        with_credit("-1"),
        with_credit("1.0"),
        with_credit(r#""1""#),
        with_credit("null"),
        with_roles("[]"),
        with_roles(r#"["developer"]"#),
        with_roles(r#"["a","b_1","c-2"]"#),
        with_roles(r#"["Dev"]"#),
        with_roles(r#"[""]"#),
        with_roles(r#"["a b"]"#),
        with_roles(&format!(r#"["{}"]"#, of(64))),
        with_roles(&format!(r#"["{}"]"#, of(65))),
        with_roles(r#""developer""#),
        with_roles("null"),
        with_roles(r#"[],"admin":true"#),
        r#"[{"username":"a","password":"p","credit":1},{"username":"b","password":"p","credit":1}]"#.to_owned(),
        r#"[{"username":"a","password":"p","credit":1},{"username":"a","password":"p","credit":1}]"#.to_owned(),
    ];
    let mut table = String::new();
    for case in &cases {
        let outcome = match UserList::parse(case) {
            Ok(list) => format!("{} users", list.len()),
            Err(error) => error.code().to_string(),
        };
        let case = case.replace('\n', "");
        table.push_str(&format!("{outcome}: {}\n", shortened(&case)));
    }
    assert_pinned!("users_file.txt", table);
}

/// A case without what makes it long.
fn shortened(case: &str) -> String {
    let mut out = case.to_owned();
    for length in [1025, 1024, 65, 64] {
        out = out.replace(&"x".repeat(length), &format!("<{length}>"));
    }
    out
}
