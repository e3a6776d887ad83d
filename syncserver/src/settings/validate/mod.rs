//! From values that were given to [`Settings`] that hold together.

mod metrics;
mod storage;
mod tokenserver;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use super::error::SettingsError;
use super::names::NO_EFFECT_YET;
use super::proxies::TrustedProxies;
use super::read::Values;
use super::types::{AllowedOrigin, Cors, Settings, TlsFiles};
use super::url::{BaseUrl, PublicUrl, Scheme, is_host_name};
use crate::logging;

/// A shorter master secret can be found by trying.
const SHORTEST_GOOD_SECRET: usize = 16;

/// Validates all values. `environment` is asked for what the system says of folders; `warnings` holds what was found
/// so far; `files` is where the values come from.
pub(super) fn settings(
    values: &Values,
    environment: &[(OsString, OsString)],
    mut warnings: Vec<String>,
    files: Vec<PathBuf>,
) -> Result<Settings, SettingsError> {
    let host = values.parsed("host", "an address or a host name, without a port", listener)?;
    let port = values.whole("port", 0..=u16::MAX.into())?;
    let data_dir = data_dir(values, environment)?;
    let tls = tls(values)?;
    let syncstorage = storage::settings(values, &data_dir)?;
    let tokenserver = tokenserver::settings(values, &syncstorage.database)?;
    if !syncstorage.enabled && !tokenserver.enabled {
        return Err(SettingsError::Contradiction(format!(
            "{} and {} are both false, so that there is nothing to serve; set one of them to true",
            values.name("syncstorage.enabled"),
            values.name("tokenserver.enabled"),
        )));
    }
    without_effect(values, &mut warnings)?;
    let metrics = metrics::settings(values, &host, port)?;
    if values.is_set("syncstorage.limits.max_quota_limit") && syncstorage.quota.is_none() {
        warnings.push(format!(
            "{} does nothing, since neither {} nor {} is true",
            values.name("syncstorage.limits.max_quota_limit"),
            values.name("syncstorage.enable_quota"),
            values.name("syncstorage.enforce_quota"),
        ));
    }
    let master_secret = values.secret("master_secret")?;
    if master_secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST_GOOD_SECRET) {
        warnings.push(format!(
            "{} is shorter than {SHORTEST_GOOD_SECRET} characters, so that somebody who has a token may \
             find it by trying",
            values.name("master_secret"),
        ));
    }
    Ok(Settings {
        public_url: public_url(values, &host, port, tls.is_some())?,
        tls,
        host,
        port,
        data_dir,
        master_secret,
        previous_master_secrets: values.list("previous_master_secrets")?.into_iter().map(Into::into).collect(),
        human_logs: values
            .optional_flag("human_logs")?
            .unwrap_or_else(|| std::io::stderr().is_terminal() || logging::stderr_is_the_journal()),
        log_level: values.parsed(
            "log_level",
            "one of \"critical\", \"error\", \"warning\", \"info\", \"debug\" and \"trace\"",
            |text| text.trim().to_ascii_lowercase().parse().ok(),
        )?,
        environment: values.text("environment")?.to_owned(),
        actix_keep_alive: values.seconds("actix_keep_alive", 0)?,
        workers: values
            .optional_whole("workers", 1..=1024)?
            .unwrap_or_else(|| available_parallelism().map_or(1, Into::into)),
        worker_max_blocking_threads: values.whole("worker_max_blocking_threads", 1..=65_536)?,
        cors: cors(values)?,
        trusted_proxies: trusted_proxies(values)?,
        metrics,
        sentry_dsn: metrics::sentry_dsn(values)?,
        test_error: values.flag("test_error")?,
        backoff: Some(values.seconds("backoff", 0)?).filter(|time| *time > Duration::ZERO),
        purge_interval: Some(values.seconds("purge_interval", 0)?).filter(|interval| *interval > Duration::ZERO),
        syncstorage,
        tokenserver,
        warnings,
        files,
    })
}

/// An address to listen on; an IPv6 one may come in brackets.
fn listener(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if bare.is_some() => None,
        Ok(address) => Some(address.to_string()),
        Err(_) => is_host_name(text).then(|| text.to_owned()),
    }
}

fn tls(values: &Values) -> Result<Option<TlsFiles>, SettingsError> {
    const NAMES: [&str; 2] = ["tls_certificate", "tls_key"];
    match (values.optional_path(NAMES[0])?, values.optional_path(NAMES[1])?) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() }))
        }
        (certificate, _) => {
            let [given, missing] = if certificate.is_some() { NAMES } else { [NAMES[1], NAMES[0]] };
            Err(SettingsError::Contradiction(format!(
                "{} is set, but not {}: a certificate and its private key are needed, or neither for plain HTTP",
                values.name(given),
                values.name(missing),
            )))
        }
    }
}

fn public_url(values: &Values, host: &str, port: u16, tls: bool) -> Result<PublicUrl, SettingsError> {
    const PUBLIC_URL: &str = "public_url";
    if let Some(url) = url(values, PUBLIC_URL)? {
        if url.path.contains("/1.0/sync") || url.path.ends_with("/1.5") {
            return Err(SettingsError::Contradiction(format!(
                "{} must not hold the path that the server adds itself: leave out /1.0/sync/1.5",
                values.name(PUBLIC_URL),
            )));
        }
        return Ok(PublicUrl { url, explicit: true });
    }
    let node = url(values, "tokenserver.init_node_url")?;
    let scheme = if tls { Scheme::Https } else { Scheme::Http };
    let of_listener = || PublicUrl::of_listener(host, port).over(scheme);
    Ok(node.map_or_else(of_listener, |url| PublicUrl { url, explicit: false }))
}

/// A URL. One that is wrong is not shown, since it may hold a password.
fn url(values: &Values, path: &str) -> Result<Option<BaseUrl>, SettingsError> {
    let url = values.optional_text(path)?.map(|text| text.trim().parse::<BaseUrl>());
    url.transpose().map_err(|error| SettingsError::Contradiction(format!("{} {error}", values.name(path))))
}

fn data_dir(values: &Values, environment: &[(OsString, OsString)]) -> Result<PathBuf, SettingsError> {
    if let Some(folder) = values.optional_path("data_dir")? {
        return Ok(folder.to_owned());
    }
    let variable = |name: &str| {
        let of = environment.iter().find(|(n, value)| n == name && !value.is_empty());
        of.map(|(_, value)| Path::new(value))
    };
    // systemd names several folders where the unit does.
    let state = variable("STATE_DIRECTORY").map(|folders| match folders.to_str() {
        Some(folders) => Path::new(folders.split(':').next().unwrap_or(folders)).to_owned(),
        None => folders.to_owned(),
    });
    // The XDG specification says to ignore a relative path.
    let data_home = || variable("XDG_DATA_HOME").filter(|folder| folder.is_absolute());
    let home = || variable("HOME").filter(|folder| folder.is_absolute());
    Ok(state
        .or_else(|| data_home().map(|folder| folder.join("syncserver")))
        .or_else(|| home().map(|folder| folder.join(".local/share/syncserver")))
        .unwrap_or_else(|| PathBuf::from("./data")))
}

fn cors(values: &Values) -> Result<Cors, SettingsError> {
    let origins = values.list("cors_allowed_origin")?;
    let is_origin = |origin: &str| {
        let url = origin.parse::<BaseUrl>();
        url.is_ok_and(|url| url.path.is_empty() && !origin.ends_with('/'))
    };
    let allowed_origin = match origins.as_slice() {
        [any] if any == "*" => AllowedOrigin::Any,
        [] => return Err(values.invalid("cors_allowed_origin", "\"*\" or a list of origins", "an empty list")),
        origins => match origins.iter().find(|origin| !is_origin(origin)) {
            None => AllowedOrigin::Only(origins.to_vec()),
            Some(origin) => {
                let expected = "\"*\" or a list of origins such as https://example.com";
                return Err(values.invalid("cors_allowed_origin", expected, format_args!("{origin:?}")));
            }
        },
    };
    let allowed_methods = values.list("cors_allowed_methods")?;
    let is_method = |method: &str| method.bytes().all(|b| b.is_ascii_uppercase());
    if let Some(method) = allowed_methods.iter().find(|method| !is_method(method)) {
        let expected = "a list of HTTP methods in capitals";
        return Err(values.invalid("cors_allowed_methods", expected, format_args!("{method:?}")));
    }
    Ok(Cors { allowed_origin, allowed_methods, max_age: values.whole("cors_max_age", 0..=u32::MAX.into())? })
}

fn trusted_proxies(values: &Values) -> Result<TrustedProxies, SettingsError> {
    let network = |text: &String| {
        text.parse().map_err(|_| {
            let expected = "a list of addresses or networks such as 10.0.0.0/8";
            values.invalid("trusted_proxies", expected, format_args!("{text:?}"))
        })
    };
    let networks: Vec<_> = values.list("trusted_proxies")?.iter().map(network).collect::<Result<_, _>>()?;
    Ok(networks.into_iter().collect())
}

/// Says which settings are set that nothing reads yet.
fn without_effect(values: &Values, warnings: &mut Vec<String>) -> Result<(), SettingsError> {
    values.optional_text("syncstorage.spanner_emulator_host")?;
    let set: Vec<String> =
        NO_EFFECT_YET.iter().filter(|path| values.is_set(path)).map(|path| values.name(path)).collect();
    if !set.is_empty() {
        warnings.push(format!("these settings have no effect yet: {}", set.join(", ")));
    }
    Ok(())
}
