//! What is told about the server's work.

use std::net::{IpAddr, SocketAddr};

use super::super::error::SettingsError;
use super::super::read::Values;
use super::super::secret::Secret;
use super::super::types::{MetricsSettings, StatsdSettings};

const LISTEN: &str = "metrics_listen";

/// `host` and `port`: the server's own.
pub(super) fn settings(values: &Values, host: &str, port: u16) -> Result<MetricsSettings, SettingsError> {
    let listen = match values.text_or_empty(LISTEN)?.to_ascii_lowercase().as_str() {
        "" | "off" => None,
        _ => Some(values.parsed(LISTEN, "an address and a port, such as \"127.0.0.1:9091\", or \"off\"", |text| {
            text.trim().parse::<SocketAddr>().ok()
        })?),
    };
    let is_explicit = values.is_set(LISTEN);
    if let Some(listen) = listen
        && is_explicit
        && port != 0
        && listen.port() == port
        && overlap(host, listen.ip())
    {
        return Err(SettingsError::Contradiction(format!(
            "{} has the port {port}, which is the server's own ({}); give metrics another one",
            values.name(LISTEN),
            values.name("port"),
        )));
    }
    Ok(MetricsSettings { listen, is_explicit, token: values.secret("metrics_token")?, statsd: statsd(values)? })
}

fn statsd(values: &Values) -> Result<Option<StatsdSettings>, SettingsError> {
    let settings = StatsdSettings {
        host: values.optional_text("statsd_host")?.unwrap_or_default().trim().to_owned(),
        port: values.whole("statsd_port", 1..=u16::MAX.into())?,
        storage_label: values.text("syncstorage.statsd_label")?.to_owned(),
        tokenserver_label: values.text("tokenserver.statsd_label")?.to_owned(),
        hostname_tag: values.flag("include_hostname_tag")?,
    };
    Ok(Some(settings).filter(|settings| !settings.host.is_empty()))
}

/// The DSN of a Sentry project. It is not shown where it is wrong, since it holds a key.
pub(super) fn sentry_dsn(values: &Values) -> Result<Option<Secret>, SettingsError> {
    let dsn = values.secret("sentry_dsn")?;
    match dsn.as_ref().map(|dsn| dsn.expose().parse::<sentry::types::Dsn>()) {
        Some(Err(error)) => Err(SettingsError::Contradiction(format!(
            "{} is no DSN of a Sentry project, such as https://key@sentry.example.com/1: {error}",
            values.name("sentry_dsn"),
        ))),
        Some(Ok(_)) | None => Ok(dsn),
    }
}

/// Whether two listeners with one port would get into each other's way.
fn overlap(host: &str, other: IpAddr) -> bool {
    // A name stands for any address.
    host.parse::<IpAddr>().is_ok_and(|host| host == other || host.is_unspecified() || other.is_unspecified())
        || host.parse::<IpAddr>().is_err()
}
