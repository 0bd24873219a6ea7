//! Certificates and keys in PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::names::check_validity;
use crate::error::{Code, Error, Result};
use crate::files;

/// The maximum size of a file, in bytes. The certificate authorities of a system are 250 KiB.
const FILE_BYTES: u64 = 4 << 20;

/// The files of one side of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate, with its intermediates, and its private key.
    pub(crate) pair: Option<(PathBuf, PathBuf)>,
    /// The certificate authorities that may have issued the certificate of the peer.
    pub(crate) authorities: Vec<PathBuf>,
}

/// The content of [`TlsFiles`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TlsTexts {
    pair: Option<(String, String)>,
    authorities: Vec<String>,
}

impl TlsFiles {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    ///
    /// `failed_precondition` for a file that cannot be read or is not trusted, `invalid_argument`
    /// for one that is not text.
    pub(crate) fn read(&self) -> Result<TlsTexts> {
        let pair = match &self.pair {
            Some((certificate, key)) => Some((
                read_text("certificate file", certificate)?,
                read_text("key file", key)?,
            )),
            None => None,
        };
        let authorities = self.authorities.iter();
        let authorities = authorities.map(|path| read_text("CA file", path));
        Ok(TlsTexts {
            pair,
            authorities: authorities.collect::<Result<_>>()?,
        })
    }

    /// Logs a warning if other users can read the key.
    pub(crate) fn warn_of_readable_key(&self) {
        if let Some((_, key)) = &self.pair
            && let Ok(Some(mode)) = files::is_readable_by_others(key)
        {
            tracing::warn!(
                target: "rpc",
                "the key file {} has mode {mode:o}, so other users can read it; run `chmod 600` on it",
                key.display()
            );
        }
    }

    /// Checks that the certificate is valid now.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the file and the problem.
    pub(crate) fn check_validity(&self, texts: &TlsTexts) -> Result<()> {
        let (Some((path, _)), Some((chain, _))) = (&self.pair, self.parse_pair(texts)?) else {
            return Ok(());
        };
        let problem = chain.first().map_or(Ok(()), check_validity);
        problem.map_err(|problem| {
            let text = format!("invalid certificate file {}: {problem}", path.display());
            Error::without_location(Code::InvalidArgument, text)
        })
    }

    /// Parses the certificate and its key; `None` without a certificate.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the file and the problem.
    pub(crate) fn parse_pair(
        &self,
        texts: &TlsTexts,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
        let (Some((certificate, key)), Some(text)) = (&self.pair, &texts.pair) else {
            return Ok(None);
        };
        let chain = parse_certificates("certificate file", certificate, &text.0)?;
        Ok(Some((chain, parse_key(key, &text.1)?)))
    }

    /// Parses the certificate authorities.
    ///
    /// # Errors
    ///
    /// `invalid_argument` with the file and the problem.
    pub(crate) fn parse_authorities(&self, texts: &TlsTexts) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for (path, text) in self.authorities.iter().zip(&texts.authorities) {
            for certificate in parse_certificates("CA file", path, text)? {
                roots
                    .add(certificate)
                    .map_err(|error| invalid("CA file", path, &plain(&error)))?;
            }
        }
        Ok(roots)
    }

    /// Returns the error of a certificate and key that cannot be used together.
    pub(crate) fn invalid_pair(&self, error: &rustls::Error) -> Error {
        let Some((certificate, key)) = &self.pair else {
            return Error::without_location(Code::InvalidArgument, plain(error));
        };
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("it is not that of the private key in {}", key.display())
            }
            error => plain(error),
        };
        invalid("certificate file", certificate, &problem)
    }
}

/// Returns the error in words, without the names of the types of rustls.
fn plain(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(_) => "a certificate in it is not valid".to_owned(),
        error => error.to_string(),
    }
}

fn read_text(what: &str, path: &Path) -> Result<String> {
    files::read_text(path, FILE_BYTES).map_err(|error| {
        if error.is_about_content() {
            let problem = format!("{error}; expected PEM, which is text");
            return invalid(what, path, &problem);
        }
        let text = format!("failed to read the {what} {}: {error}", path.display());
        Error::without_location(Code::FailedPrecondition, text).with_source(error)
    })
}

fn parse_certificates(what: &str, path: &Path, text: &str) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            let problem = if text.contains("PRIVATE KEY-----") {
                "it has a private key and no certificate; the two files may be swapped"
            } else {
                "it has no certificate; expected PEM, with a line `-----BEGIN CERTIFICATE-----`"
            };
            Err(invalid(what, path, problem))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(invalid(what, path, "a certificate in it is not valid PEM")),
    }
}

/// Parses the private key. The error contains no part of the file.
fn parse_key(path: &Path, text: &str) -> Result<PrivateKeyDer<'static>> {
    let mut keys = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()).filter_map(
        |section| match section {
            Ok((kind, der)) => PrivateKeyDer::from_pem(kind, der).map(Ok),
            Err(_) => Some(Err(())),
        },
    );
    let problem = match (keys.next(), keys.next()) {
        (Some(Ok(key)), None) => return Ok(key),
        (Some(_), Some(_)) => "it has several private keys; expected one",
        (Some(Err(())), None) => "the private key in it is not valid PEM",
        (None, _) if text.contains("ENCRYPTED PRIVATE KEY-----") => {
            "the private key in it is encrypted; remove its password with `openssl pkey`"
        }
        (None, _) if text.contains("CERTIFICATE-----") => {
            "it has a certificate and no private key; the two files may be swapped"
        }
        (None, _) => {
            "it has no private key; expected PEM, with a line such as `-----BEGIN PRIVATE KEY-----`"
        }
    };
    Err(invalid("key file", path, problem))
}

fn invalid(what: &str, path: &Path, problem: &str) -> Error {
    let text = format!("invalid {what} {}: {problem}", path.display());
    Error::without_location(Code::InvalidArgument, text)
}
