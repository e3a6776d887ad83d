//! `syncserver healthcheck`.

use std::time::Duration;

use crate::loopback::Loopback;
use crate::settings::{Scheme, Settings};

/// How long to wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &Settings) -> Result<(), String> {
    let scheme = if settings.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let server = Loopback::new(scheme, &settings.host, settings.port, TIMEOUT);
    let url = server.url("/__heartbeat__");
    let (status, body) = server.get("/__heartbeat__").map_err(|error| format!("{url} {error}"))?;
    if status == 200 { Ok(()) } else { Err(format!("{url} answers {status}: {body}")) }
}
