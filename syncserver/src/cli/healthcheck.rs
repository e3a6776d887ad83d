//! `syncserver healthcheck`.

use std::time::Duration;

use crate::settings::{PublicUrl, Settings};

/// How long to wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &Settings) -> Result<(), String> {
    let url = format!("{}/__heartbeat__", PublicUrl::of_listener(&settings.host, settings.port));
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        // The server is on this machine, whatever proxy the environment names for the rest of the world.
        .proxy(None)
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent.get(&url).call().map_err(|error| format!("{url} does not answer: {error}"))?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    if status == 200 { Ok(()) } else { Err(format!("{url} answers {status}: {body}")) }
}
