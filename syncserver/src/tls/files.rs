//! The files of a certificate and its key.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::settings::TlsFiles;

/// Why a certificate cannot be used. Each is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("{setting} names the file {}, which {} cannot read: {reason}", path.display(), user())]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        reason: String,
    },
    /// A file does not hold what it should.
    #[error("{setting} names the file {}, which {what}", path.display())]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, as the end of a sentence.
        what: String,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the private key in {} (tls_key) does not belong to the first certificate in {} (tls_certificate), which has to \
         be the server's own, before those of its authorities", key.display(), certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The library refuses to work at all.
    #[error("TLS cannot be set up: {0}")]
    Library(rustls::Error),
}

const CERTIFICATE: &str = "tls_certificate";
const KEY: &str = "tls_key";

/// Whether the server could use these files now.
pub(crate) fn check(files: &TlsFiles) -> Result<(), TlsError> {
    Texts::read(files)?.load(files).map(|_| ())
}

/// What the two files hold.
#[derive(PartialEq, Eq)]
pub(super) struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

// The key is secret.
impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}

/// A certificate with its key, ready for use.
pub(super) struct Loaded {
    /// Both.
    pub(super) certified: Arc<CertifiedKey>,
    /// When the certificate ends, in milliseconds since the epoch, if it can be told.
    pub(super) ends_ms: Option<i64>,
}

impl Texts {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |setting, path: &Path| {
            fs::read(path).map_err(|error| TlsError::Unreadable {
                setting,
                path: path.to_owned(),
                reason: error.to_string(),
            })
        };
        Ok(Self { certificate: read(CERTIFICATE, &files.certificate)?, key: read(KEY, &files.key)? })
    }

    pub(super) fn load(&self, files: &TlsFiles) -> Result<Loaded, TlsError> {
        let bad = |setting, path: &Path, what: String| TlsError::Content { setting, path: path.to_owned(), what };
        let bad_certificate = |what| bad(CERTIFICATE, &files.certificate, what);
        let bad_key = |what| bad(KEY, &files.key, what);

        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_certificate(format!("is not a PEM file: {error}")))?;
        let Some(own) = chain.first() else {
            return Err(bad_certificate("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
        };
        let ends_ms = ends_ms(own)
            .map_err(|error| bad_certificate(format!("begins with a certificate that cannot be read: {error}")))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| bad_key(self.why_no_key().to_owned()))?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key.clone() }
            }
            rustls::Error::InvalidCertificate(_) => bad_certificate(format!("cannot be used: {error}")),
            error => bad_key(format!("cannot be used: {error}")),
        })?;
        Ok(Loaded { certified: Arc::new(certified), ends_ms })
    }

    fn why_no_key(&self) -> &'static str {
        let text = String::from_utf8_lossy(&self.key);
        if text.contains("ENCRYPTED") {
            return "holds a private key that is locked with a passphrase; `openssl pkey -in FILE -out NEW` writes it without";
        }
        let certificates = <(SectionKind, Vec<u8>)>::pem_slice_iter(&self.key);
        if certificates.flatten().any(|(kind, _)| kind == SectionKind::Certificate) {
            return "holds a certificate and no private key; are tls_certificate and tls_key the wrong way round?";
        }
        "holds no private key (-----BEGIN PRIVATE KEY-----)"
    }
}

fn ends_ms(certificate: &CertificateDer<'_>) -> Result<Option<i64>, x509_cert::der::Error> {
    let certificate = Certificate::from_der(certificate)?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Ok(i64::try_from(end.as_millis()).ok())
}

/// Who has to be able to read the files.
#[cfg(unix)]
fn user() -> String {
    format!("the user with the number {}, which the server runs as,", rustix::process::geteuid().as_raw())
}

#[cfg(not(unix))]
fn user() -> String {
    "the user that the server runs as".to_owned()
}
