//! Refuses requests that web pages of other origins make with the stored password of a browser.
//!
//! A form, an image or a link of any page makes a browser send a request here, with the credentials
//! that its user typed once. The headers below tell such a request from one of the user; programs
//! send none of them.

use rpc_runtime::axum::http::header::{HeaderValue, REFERER};
use rpc_runtime::axum::http::{StatusCode, request::Parts};
use rpc_runtime::{Code, foreign_page};

use super::response::ErrorResponse;

/// Refuses a request of a page of another origin, also of the same site.
///
/// Browsers send `Sec-Fetch-Site` to `https` and to this host only, and no `Origin` with the `GET`
/// of an image or a link. Then `Referer` tells, unless the page withholds it.
///
/// # Errors
///
/// A response for the browser.
pub(super) fn check(head: &Parts) -> Result<(), ErrorResponse> {
    let is_foreign = match foreign_page(head) {
        Some(_) => true,
        None if head.headers.contains_key("sec-fetch-site") => false,
        None => {
            let referers = head.headers.get_all(REFERER);
            referers.iter().any(|page| !is_own(page, head))
        }
    };
    if !is_foreign {
        return Ok(());
    }
    let text = "another web site made this request, so nothing was bought; type the address, \
                or call from a program";
    Err(ErrorResponse::new(
        StatusCode::FORBIDDEN,
        Code::PermissionDenied,
        text,
    ))
}

/// Returns whether a URL has the host of the request.
fn is_own(page: &HeaderValue, head: &Parts) -> bool {
    let own = match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get("host").and_then(|host| host.to_str().ok()),
    };
    let page = page.to_str().ok().and_then(|page| page.split_once("://"));
    let host = page.map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or_default());
    matches!((host, own), (Some(host), Some(own)) if host.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use rpc_runtime::axum::http::Request;

    use super::*;

    fn outcome(lines: &[(&str, &str)]) -> Result<(), ErrorResponse> {
        let mut request = Request::get("/10").header("host", "shop.example:9001");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn programs_own_pages_and_typed_addresses_pass() {
        for lines in [
            &[][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin")],
            &[
                ("origin", "http://shop.example:9001"),
                ("sec-fetch-site", "same-origin"),
            ],
            &[("origin", "https://Shop.Example:9001")],
            &[("referer", "http://shop.example:9001/9?a#b")],
            &[("referer", "http://shop.example:9001")],
            // The browser vouches for the request.
            &[
                ("referer", "https://wiki.example/"),
                ("sec-fetch-site", "none"),
            ],
        ] {
            assert!(outcome(lines).is_ok(), "{lines:?}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        for lines in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "Cross-Site")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://shop.example:9001"),
            ],
            &[("origin", "http://evil.example")],
            &[("origin", "http://shop.example")],
            &[("origin", "http://shop.example:9001.evil.example")],
            &[("origin", "null")],
            &[("origin", "")],
            &[("referer", "https://evil.example/shop.example:9001")],
            &[("referer", "http://shop.example:9001@evil.example/")],
            &[("referer", "http://evil.example?http://shop.example:9001/")],
        ] {
            let refused = outcome(lines).unwrap_err();
            assert!(refused.text().contains("another web site"), "{lines:?}");
        }
    }
}
