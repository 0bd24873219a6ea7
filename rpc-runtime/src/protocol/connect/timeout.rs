//! Reads and writes `connect-timeout-ms`, the timeout of the caller in milliseconds.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Code, Error};

static TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");

/// The maximum value of the header: ten digits.
const MAX_TIMEOUT_MS: u64 = 9_999_999_999;

/// Reads the header. 0 is valid and means an expired deadline.
///
/// # Errors
///
/// `invalid_argument` unless there is one header with 1 to 10 ASCII digits. A server that ignored
/// an invalid timeout would run the call without one.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let mut values = headers.get_all(&TIMEOUT).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let digits = value.as_bytes();
    // `str::parse` would also accept `+5`.
    let valid = (1..=10).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && values.next().is_none();
    if !valid {
        return Err(Error::without_location(
            Code::InvalidArgument,
            "the header connect-timeout-ms must be one number of 1 to 10 digits",
        ));
    }
    let milliseconds = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(Some(Duration::from_millis(milliseconds)))
}

/// Writes the header in whole milliseconds, rounded down so that the server does not give up after
/// the caller.
pub(super) fn write(left: Duration, headers: &mut HeaderMap) {
    let milliseconds = u64::try_from(left.as_millis())
        .unwrap_or(MAX_TIMEOUT_MS)
        .min(MAX_TIMEOUT_MS);
    headers.insert(TIMEOUT.clone(), HeaderValue::from(milliseconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                TIMEOUT.clone(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn a_timeout_is_one_to_ten_digits() {
        let good: [(&[&str], Option<u64>); 5] = [
            (&[], None),
            (&["0"], Some(0)),
            (&["5000"], Some(5000)),
            (&["0000000007"], Some(7)),
            (&["9999999999"], Some(MAX_TIMEOUT_MS)),
        ];
        for (values, expected) in good {
            assert_eq!(
                read(&headers(values)).unwrap(),
                expected.map(Duration::from_millis),
                "{values:?}"
            );
        }
        let bad: [&[&str]; 11] = [
            &[""],
            &["abc"],
            &["-5"],
            &["+5000"],
            &["1.5"],
            &["1e3"],
            &["10 "],
            &["0x10"],
            &["12345678901"],
            &["５０"],
            &["1", "1"],
        ];
        for values in bad {
            let error = read(&headers(values)).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{values:?}");
        }
    }

    #[test]
    fn the_timeout_is_rounded_down_and_bounded() {
        for (left, expected) in [
            (Duration::from_micros(1999), "1"),
            (Duration::from_micros(999), "0"),
            (Duration::from_secs(30), "30000"),
            (Duration::MAX, "9999999999"),
        ] {
            let mut headers = HeaderMap::new();
            write(left, &mut headers);
            assert_eq!(headers[&TIMEOUT], expected);
            read(&headers).unwrap();
        }
    }
}
