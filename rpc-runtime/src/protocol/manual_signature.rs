//! Signatures of requests that something else sends, such as `curl`.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};

use super::identity::{service_of, sign_parts};
use crate::error::{Code, Error, Result};
use crate::identity::IdentityKeys;

impl IdentityKeys {
    /// Signs a request that another HTTP client sends, and returns the headers that it must send:
    /// the given ones, with names in lower case, and those of the signature.
    ///
    /// The signature is valid for 30 s, and once. The URL has the host that the server is addressed
    /// by, and the path and the query exactly as they are sent. The body is that on the wire. Each
    /// of the given headers is covered by the signature, so nothing on the way may change it. The
    /// format is described in `docs/request-signature.md`.
    ///
    /// ```
    /// use rpc_runtime::IdentityKeys;
    ///
    /// # let folder = std::env::temp_dir().join(format!("rpc-sign-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let file = folder.join("keys");
    /// # std::fs::write(&file, format!("a {}\n", "s".repeat(32)))?;
    /// # #[cfg(unix)]
    /// # std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    /// let keys = IdentityKeys::from_file(&file)?;
    /// let url = "http://127.0.0.1:9004/rpc.v1.Status/Get";
    /// let headers = keys.sign_request("POST", url, &[("content-type", "application/json")], b"{}")?;
    /// assert_eq!(headers[0], ("content-type".to_owned(), "application/json".to_owned()));
    /// assert_eq!(headers[1].0, "x-rpc-identity");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `invalid_argument` for an invalid method, header, or URL; the latter needs a scheme and a
    /// host.
    pub fn sign_request(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<(String, String)>> {
        let mut request = http::Request::new(Bytes::copy_from_slice(body));
        *request.method_mut() = method
            .parse()
            .map_err(|_| invalid(format!("invalid HTTP method `{}`", method.escape_debug())))?;
        let shown = crate::text::public_url(url);
        let uri: http::Uri = url
            .parse()
            .map_err(|error| invalid(format!("invalid URL `{shown}`: {error}")))?;
        let (Some(authority), Some(_)) = (uri.authority(), uri.scheme()) else {
            let text = format!("invalid URL `{shown}`: expected `http://HOST:PORT/PATH`");
            return Err(invalid(text));
        };
        let host = authority.as_str().to_owned();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = target.to_owned();
        let audience = service_of(uri.path()).to_owned();
        for (name, value) in headers {
            let known = HeaderName::try_from(*name).ok();
            let (Some(name), Ok(value)) = (known, HeaderValue::try_from(*value)) else {
                return Err(invalid(format!("invalid header `{}`", name.escape_debug())));
            };
            request.headers_mut().append(name, value);
        }
        sign_parts(self, &audience, &host, &target, &mut request);
        let all = request.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        });
        Ok(all.collect())
    }
}

fn invalid(text: String) -> Error {
    Error::without_location(Code::InvalidArgument, text)
}
