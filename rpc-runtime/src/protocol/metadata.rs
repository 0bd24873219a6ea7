//! Reads application metadata from HTTP headers and writes it.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::metadata::Metadata;

/// The prefix of headers that carry trailing metadata.
pub(crate) const TRAILER_PREFIX: &str = "trailer-";

/// The value in place of credentials that are not text.
static EMPTY: HeaderValue = HeaderValue::from_static("");

/// Reads the metadata of a request. Skips headers of the protocol and values that are not text,
/// but counts every `authorization`: a proxy may have checked the one that is skipped.
pub(crate) fn read(headers: &HeaderMap) -> Metadata {
    read_some(headers, |_| true)
}

/// Reads the metadata of a request whose names are `wanted`.
pub(super) fn read_some(headers: &HeaderMap, wanted: impl Fn(&str) -> bool) -> Metadata {
    let mut metadata = Metadata::new();
    for (name, value) in headers {
        if wanted(name.as_str()) {
            let is_skipped = name == AUTHORIZATION && value.to_str().is_err();
            let counted = if is_skipped { &EMPTY } else { value };
            append(&mut metadata, name.as_str(), counted);
        }
    }
    metadata
}

/// Reads the leading and the trailing metadata of a response.
pub(crate) fn read_both(headers: &HeaderMap) -> (Metadata, Metadata) {
    let (mut leading, mut trailing) = (Metadata::new(), Metadata::new());
    for (name, value) in headers {
        match name.as_str().strip_prefix(TRAILER_PREFIX) {
            Some(name) => append(&mut trailing, name, value),
            None => append(&mut leading, name.as_str(), value),
        }
    }
    (leading, trailing)
}

fn append(metadata: &mut Metadata, name: &str, value: &HeaderValue) {
    match value.to_str() {
        Ok(value) => metadata.append_received(name, value),
        Err(_) => {
            tracing::debug!(target: "rpc", header = name, "left out a header whose value is not visible ASCII");
        }
    }
}

/// Adds metadata to the headers of a message, each name with `prefix`.
pub(crate) fn write(metadata: &Metadata, prefix: &str, headers: &mut HeaderMap) {
    for (name, value) in metadata.iter() {
        let name = if prefix.is_empty() {
            HeaderName::try_from(name)
        } else {
            HeaderName::try_from(format!("{prefix}{name}"))
        };
        match (name, HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                headers.append(name, value);
            }
            // `Metadata` only holds names and values that are valid in headers.
            _ => {
                tracing::error!(target: "rpc", "internal error: skipped metadata that is not valid in an HTTP header");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_headers_are_read_in_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-a", "1"),
            ("content-type", "application/json"),
            ("x-rpc-source", "a@b/c"),
            ("trailer-x-b", "2"),
            ("x-a", "3"),
            ("trailer-content-type", "text/html"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers.append("x-latin", HeaderValue::from_bytes(b"\xe9").unwrap());
        let (leading, trailing) = read_both(&headers);
        assert_eq!(
            leading.iter().collect::<Vec<_>>(),
            [("x-a", "1"), ("x-a", "3")]
        );
        assert_eq!(trailing.iter().collect::<Vec<_>>(), [("x-b", "2")]);
        assert_eq!(read(&headers), leading);

        let mut written = HeaderMap::new();
        write(&leading, "", &mut written);
        write(&trailing, TRAILER_PREFIX, &mut written);
        assert_eq!(read_both(&written), (leading, trailing));
    }
}
