//! `syncserver healthcheck`.

use std::time::Duration;

use crate::loopback::Loopback;
use crate::settings::Settings;

/// How long to wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &Settings) -> Result<(), String> {
    let server = Loopback::of(settings, TIMEOUT);
    let url = server.url("/__heartbeat__");
    let (status, body) = server.get("/__heartbeat__").map_err(|error| format!("{url} does not answer: {error}"))?;
    if status == 200 { Ok(()) } else { Err(format!("{url} answers {status}: {body}")) }
}
