//! Requests as a client makes them.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, http};

use super::USER_AGENT;

/// How long to wait for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// The most bytes of an answer that are looked at.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A client.
pub(super) struct Http {
    tls: TlsConfig,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON, or null.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// A header as text, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// For a message: the status, and the beginning of the body.
    pub(super) fn describe(&self) -> String {
        let line = self.body.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let location = self.header("location");
        match (location.is_empty(), line.is_empty()) {
            (false, _) => format!("{}, a redirection to {location}", self.status),
            (true, true) => format!("{} with an empty body", self.status),
            (true, false) => format!("{}: {}", self.status, line.chars().take(100).collect::<String>()),
        }
    }
}

impl Http {
    /// Trusts the authorities whose certificates are in a file, in PEM; without one, those that browsers trust.
    pub(super) fn new(authorities: Option<&Path>) -> Result<Self, String> {
        let roots = match authorities {
            None => RootCerts::WebPki,
            Some(path) => {
                let unusable = |why: String| format!("{} holds no certificate that can be used: {why}", path.display());
                let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
                let items =
                    parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(error.to_string()))?;
                let certificates: Vec<Certificate<'static>> = items
                    .into_iter()
                    .filter_map(|item| match item {
                        PemItem::Certificate(certificate) => Some(certificate),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(unusable("expected PEM, with lines -----BEGIN CERTIFICATE-----".to_owned()));
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        Ok(Self { tls: TlsConfig::builder().root_certs(roots).build() })
    }

    /// Sends a request with these headers. `is_local`: not through a proxy that the environment names.
    pub(super) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
        is_local: bool,
    ) -> Result<Answer, String> {
        let mut config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            // A client's signature is good for one URL: whoever answers so is in the way.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(self.tls.clone())
            .user_agent(USER_AGENT);
        if is_local {
            config = config.proxy(None);
        }
        let agent = config.build().new_agent();
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => {
                request.body(body.to_owned()).map_err(ureq::Error::from).and_then(|request| agent.run(request))
            }
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| agent.run(request)),
        };
        let mut answer = answer.map_err(|error| error.to_string())?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().unwrap_or_default();
        Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// The time of a `Date` header, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn date(header: &str) -> Option<SystemTime> {
    header.parse::<actix_web::http::header::HttpDate>().ok().map(SystemTime::from)
}
