//! Asking a server on this machine whether it answers.

use std::time::Duration;

use ureq::tls::TlsConfig;

use crate::settings::{PublicUrl, Scheme, Settings};

/// A server on this machine, by the address that it listens on.
#[derive(Clone, Debug)]
pub(crate) struct Loopback {
    base: PublicUrl,
    agent: ureq::Agent,
}

impl Loopback {
    /// `host` as in the settings; each question may take `timeout`, and has a connection of its own.
    pub(crate) fn new(scheme: Scheme, host: &str, port: u16, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            // The server is on this machine, whatever proxy the environment names for the rest of the world.
            .proxy(None)
            .http_status_as_error(false)
            .max_idle_connections(0)
            // Its certificate is for its public name. Nothing secret is sent, and nobody is between here and here.
            .tls_config(TlsConfig::builder().disable_verification(true).build())
            .build()
            .new_agent();
        Self { base: PublicUrl::of_listener(host, port).over(scheme), agent }
    }

    /// The server that runs with these settings.
    pub(crate) fn of(settings: &Settings, timeout: Duration) -> Self {
        let scheme = if settings.tls.is_some() { Scheme::Https } else { Scheme::Http };
        Self::new(scheme, &settings.host, settings.port, timeout)
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Status and body of the answer.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), String> {
        let mut answer = self.agent.get(self.url(path)).call().map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default()))
    }
}
