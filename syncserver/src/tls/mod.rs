//! TLS without a proxy: the certificate that the server shows, and the one that takes its place when the files change.
//!
//! A connection keeps what it was opened with; the next handshake sees the new certificate. Files that cannot be used
//! change nothing, and the log says what is wrong with them.

mod files;
mod watch;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use slog::Logger;
use syncstorage_db_common::Clock;

pub use files::TlsError;
pub(crate) use files::check;
pub(crate) use watch::watch;

use crate::logging::rfc3339;
use crate::settings::TlsFiles;
use files::{Loaded, Texts};

/// A certificate that ends sooner than this should have been renewed by now: the usual tools do it 30 days ahead.
const ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How often the log says that a certificate ends, or has ended.
const REMIND_MS: i64 = 24 * 60 * 60 * 1000;

/// The certificate of this server.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsFiles,
    shown: RwLock<Arc<CertifiedKey>>,
    state: Mutex<State>,
    clock: Clock,
    log: Logger,
}

#[derive(Debug)]
struct State {
    /// What the files held when they were last looked at; `None` where they could not be read.
    seen: Option<Texts>,
    /// The end of the certificate that is shown, in milliseconds since the epoch, if it can be told.
    ends_ms: Option<i64>,
    /// When the log was last told of the end.
    reminded_ms: Option<i64>,
    /// What was wrong last, so that it is said once.
    complaint: Option<String>,
}

impl Certificates {
    /// Reads the files. An end that is near or past is logged, and no error: clients that do not trust the certificate
    /// come back by themselves when it is renewed.
    pub(crate) fn load(files: &TlsFiles, clock: Clock, log: &Logger) -> Result<Arc<Self>, TlsError> {
        let texts = Texts::read(files)?;
        let Loaded { certified, ends_ms } = texts.load(files)?;
        let state = State { seen: Some(texts), ends_ms, reminded_ms: None, complaint: None };
        let certificates = Self {
            files: files.clone(),
            shown: RwLock::new(certified),
            state: Mutex::new(state),
            clock,
            log: log.clone(),
        };
        certificates.remind();
        Ok(Arc::new(certificates))
    }

    /// What a listener needs. `h2` is not offered: the server is built without HTTP/2.
    pub(crate) fn config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?;
        Ok(builder.with_no_client_auth().with_cert_resolver(Arc::<Self>::clone(self)))
    }

    /// Looks at the files again, and takes what is new in them. It blocks for as long as reading them takes.
    pub(crate) fn look_again(&self) {
        let texts = Texts::read(&self.files);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match texts {
            Ok(texts) if state.seen.as_ref() == Some(&texts) => return self.remind_in(&mut state),
            Ok(texts) => {
                let loaded = texts.load(&self.files);
                state.seen = Some(texts);
                loaded
            }
            // Also while they are being replaced. When they are back they count as new.
            Err(error) => {
                state.seen = None;
                Err(error)
            }
        };
        match outcome {
            Ok(Loaded { certified, ends_ms }) => {
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = certified;
                (state.ends_ms, state.reminded_ms, state.complaint) = (ends_ms, None, None);
                slog::info!(self.log, "the TLS certificate was replaced";
                    "certificate" => self.files.certificate.display().to_string(),
                    "ends" => ends_ms.map(time),
                );
            }
            Err(error) => {
                let complaint = error.to_string();
                if state.complaint.as_ref() != Some(&complaint) {
                    slog::error!(self.log, "the TLS certificate was not replaced, the one from before stays";
                        "reason" => &complaint);
                }
                state.complaint = Some(complaint);
            }
        }
        self.remind_in(&mut state);
    }

    fn remind(&self) {
        self.remind_in(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Says that the certificate ends soon, or has ended, once a day.
    fn remind_in(&self, state: &mut State) {
        let (Some(ends), now) = (state.ends_ms, self.clock.now_ms()) else { return };
        let soon = i64::try_from(ENDS_SOON.as_millis()).unwrap_or(i64::MAX);
        if ends - now > soon || state.reminded_ms.is_some_and(|last| now - last < REMIND_MS) {
            return;
        }
        state.reminded_ms = Some(now);
        let said = if ends <= now {
            "the TLS certificate has expired, so that no client trusts it: renew it; new files are taken without a restart"
        } else {
            "the TLS certificate expires soon: does its renewal work?"
        };
        let file = self.files.certificate.display().to_string();
        slog::warn!(self.log, "{}", said; "certificate" => file, "ends" => time(ends));
    }
}

impl ResolvesServerCert for Certificates {
    /// The same one for every name: it is for the client to see whether it fits.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn time(ms: i64) -> String {
    rfc3339(std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}
