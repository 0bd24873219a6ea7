//! The `retry-after` header of a response, which gateways send with 429 and 503.

use std::time::Duration;

use http::StatusCode;
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::error::{Code, Error};

/// The delay after a 429 that has no `retry-after`.
const TOO_MANY_REQUESTS: Duration = Duration::from_secs(1);

/// Adds the retry delay of the response to an error that a caller may retry. A delay in the body
/// takes precedence, because it is more exact. `is_page` tells that the body is not that of an
/// error of the protocol.
pub(super) fn add(error: &mut Error, status: StatusCode, headers: &HeaderMap, is_page: bool) {
    let may_retry = matches!(error.code(), Code::Unavailable | Code::ResourceExhausted);
    if !may_retry || error.retry_after().is_some() {
        return;
    }
    // Servers of the protocol send 429 for an exhausted quota, which lasts.
    let too_many = is_page && status == StatusCode::TOO_MANY_REQUESTS;
    let delay = read(headers).or(too_many.then_some(TOO_MANY_REQUESTS));
    error.set_retry_after(delay);
}

/// Reads the header: seconds, or a date, which is compared with the `date` of the same response.
fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are longer than any deadline.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let delay = date(text)?.duration_since(date(self::text(headers, DATE)?)?);
    // A date that has passed allows a retry now.
    Some(Duration::try_from(delay).unwrap_or_default())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn date(text: &str) -> Option<Timestamp> {
    Some(rfc2822::parse(text).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const DATED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn delay_of(retry_after: Option<&str>, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(RETRY_AFTER, retry_after), (DATE, date)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        read(&headers)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let later = "Sun, 06 Nov 1994 08:51:37 GMT";
        for (retry_after, date, expected) in [
            ("0", None, Some(0)),
            ("120", None, Some(120)),
            (" 7 ", None, Some(7)),
            ("99999999999999999999999", None, Some(u64::MAX)),
            (later, Some(DATED), Some(120)),
            (DATED, Some(later), Some(0)),
            // Without the time of the server its dates have no meaning here.
            (later, None, None),
            (later, Some("yesterday"), None),
            ("", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("+3", None, None),
            ("soon", Some(DATED), None),
            ("30 Feb 1994", Some(DATED), None),
        ] {
            let found = delay_of(Some(retry_after), date);
            assert_eq!(found, expected.map(Duration::from_secs), "{retry_after}");
        }
        assert_eq!(delay_of(None, Some(DATED)), None);
    }

    #[test]
    fn only_errors_that_may_be_retried_get_a_delay() {
        let mut headers = HeaderMap::new();
        let delay = |code, status, headers: &HeaderMap, is_page| {
            let mut error = Error::without_location(code, "why");
            add(&mut error, status, headers, is_page);
            error.retry_after()
        };
        let (busy, full) = (
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        );
        let second = Some(Duration::from_secs(1));
        assert_eq!(delay(Code::Unavailable, busy, &headers, true), second);
        assert_eq!(delay(Code::Unavailable, full, &headers, true), None);
        assert_eq!(delay(Code::ResourceExhausted, busy, &headers, false), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        let five = Some(Duration::from_secs(5));
        assert_eq!(delay(Code::Unavailable, busy, &headers, true), five);
        assert_eq!(delay(Code::Unavailable, full, &headers, true), five);
        assert_eq!(delay(Code::ResourceExhausted, busy, &headers, false), five);
        assert_eq!(delay(Code::Internal, full, &headers, false), None);
        let mut exact = Error::without_location(Code::Unavailable, "why")
            .with_retry_after(Duration::from_millis(5100));
        add(&mut exact, full, &headers, false);
        assert_eq!(exact.retry_after(), Some(Duration::from_millis(5100)));
    }
}
