//! Headers for shared caches: a response to one user is not for another.

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, VARY};
use http::{Method, Response};

use crate::context::Context;

/// The directives of `Cache-Control` with which the application decides about shared caches itself.
const DECISIONS: [&str; 3] = ["private", "public", "s-maxage"];

/// Marks the response to a request that caches may answer, on a server whose responses depend on
/// the user: `Vary: authorization`, and for a user `Cache-Control: private`, unless the response
/// says what shared caches may do. One that no cache may store stays as it is.
pub(super) fn mark<B>(
    verb: &Method,
    context: &Context,
    has_authenticators: bool,
    response: &mut Response<B>,
) {
    let is_cacheable = matches!(*verb, Method::GET | Method::HEAD);
    if !is_cacheable || states(response.headers(), &["no-store"]) {
        return;
    }
    let has_user = context.has_had_user();
    if has_user || has_authenticators {
        vary_by(&AUTHORIZATION, response.headers_mut());
    }
    if has_user && !states(response.headers(), &DECISIONS) {
        let private = HeaderValue::from_static("private");
        response.headers_mut().append(CACHE_CONTROL, private);
    }
}

/// Returns whether `Cache-Control` has one of these directives.
fn states(headers: &HeaderMap, wanted: &[&str]) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    directives.any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim();
        wanted
            .iter()
            .any(|wanted| name.eq_ignore_ascii_case(wanted))
    })
}

/// Adds a name to `Vary`, in one line, because some caches read the first line only.
fn vary_by(name: &HeaderName, headers: &mut HeaderMap) {
    let values = headers.get_all(VARY).iter();
    let names = values.filter_map(|value| value.to_str().ok());
    let mut names: Vec<&str> = names
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    if names
        .iter()
        .any(|other| *other == "*" || name.as_str().eq_ignore_ascii_case(other))
    {
        return;
    }
    names.push(name.as_str());
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(VARY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Principal, RequestId};

    fn marked(
        verb: &Method,
        user: bool,
        has_authenticators: bool,
        headers: &[(&'static str, &'static str)],
    ) -> [String; 2] {
        let context = Context::for_request(RequestId::random());
        if user {
            context.set_principal(Principal::new("alice")).unwrap();
        }
        let mut response = Response::new(());
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            response.headers_mut().append(*name, value);
        }
        mark(verb, &context, has_authenticators, &mut response);
        let all = |name| {
            let values = response.headers().get_all(name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
            values.join(" | ")
        };
        [all(CACHE_CONTROL), all(VARY)]
    }

    #[test]
    fn a_response_for_a_user_is_private() {
        let get = &Method::GET;
        for (headers, cache, vary) in [
            (&[][..], "private", "authorization"),
            (
                &[("cache-control", "max-age=60")],
                "max-age=60 | private",
                "authorization",
            ),
            (&[("cache-control", "No-Store")], "No-Store", ""),
            (
                &[("cache-control", "max-age=1, S-MaxAge=9")],
                "max-age=1, S-MaxAge=9",
                "authorization",
            ),
            (&[("cache-control", "public")], "public", "authorization"),
            (
                &[("vary", "accept-encoding")],
                "private",
                "accept-encoding, authorization",
            ),
            (
                &[("vary", "a"), ("vary", "b, c")],
                "private",
                "a, b, c, authorization",
            ),
            (
                &[("vary", "Authorization, a")],
                "private",
                "Authorization, a",
            ),
            (&[("vary", "*")], "private", "*"),
        ] {
            assert_eq!(
                marked(get, true, true, headers),
                [cache, vary],
                "{headers:?}"
            );
        }
    }

    #[test]
    fn others_are_private_only_for_a_user() {
        for (verb, user, has_authenticators, cache, vary) in [
            (Method::HEAD, true, true, "private", "authorization"),
            (Method::GET, true, false, "private", "authorization"),
            (Method::GET, false, true, "", "authorization"),
            (Method::GET, false, false, "", ""),
            (Method::POST, true, true, "", ""),
        ] {
            let seen = marked(&verb, user, has_authenticators, &[]);
            assert_eq!(seen, [cache, vary], "{verb} {user} {has_authenticators}");
        }
    }
}
