//! The settings: documented in one place, read from a file and the environment, validated once.
//!
//! [`load`] goes from raw to validated: `layers` collects what was given and refuses unknown names, `read` gives
//! values their types, `validate` makes a [`Settings`] of them that contradicts itself nowhere. Names and defaults
//! stand in `config/syncserver.toml` alone, which [`reference()`] returns.

mod effective;
mod error;
mod layers;

mod names;
mod proxies;
mod read;
mod reference;
mod secret;
pub mod secret_file;
mod types;
mod url;
mod validate;

use std::ffi::OsString;
use std::path::Path;

use config::Config;

pub use effective::Effective;
pub use error::SettingsError;
pub use proxies::{InvalidNetwork, Network, TrustedProxies};
pub use reference::reference;
pub use secret::Secret;
pub use types::{
    AllowedOrigin, Cors, DatabaseSettings, Jwk, Limits, MetricsSettings, Registration, Settings, SizeLimits,
    StatsdSettings, SyncstorageSettings, TlsFiles, TokenserverSettings, Webhook,
};
pub use url::{BaseUrl, InvalidUrl, LONGEST_NODE, PublicUrl, Scheme};

use layers::Layer;
use read::Values;

/// Reads the settings: the defaults, then the file if there is one, then the environment, given as pairs of names and
/// values ([`std::env::vars_os`], or a test's own). Of the latter, `SYNC_…` and `SENTRY_DSN` are ours;
/// `STATE_DIRECTORY`, `XDG_DATA_HOME` and `HOME` say where the data folder is by default.
pub fn load<N, V>(file: Option<&Path>, environment: impl IntoIterator<Item = (N, V)>) -> Result<Settings, SettingsError>
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let (_, settings) = load_values(file, environment)?;
    Ok(settings)
}

/// The settings that [`load`] would return, each with where it came from, and no secret among them.
pub fn dump<N, V>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (N, V)>,
) -> Result<Vec<Effective>, SettingsError>
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let (values, settings) = load_values(file, environment)?;
    Ok(effective::effective(&values, &settings))
}

fn load_values<N, V>(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (N, V)>,
) -> Result<(Values, Settings), SettingsError>
where
    N: Into<OsString>,
    V: Into<OsString>,
{
    let file = file.map_or_else(|| Ok(Layer::default()), Layer::file)?;
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>();
    merge(file, &environment)
}

fn merge(file: Layer, environment: &[(OsString, OsString)]) -> Result<(Values, Settings), SettingsError> {
    let variables = Layer::environment(environment)?;
    let mut warnings = Vec::new();
    let ignored = [file.ignored.as_slice(), variables.ignored.as_slice()].concat();
    if !ignored.is_empty() {
        warnings.push(format!("these settings mean nothing in this server and are ignored: {}", ignored.join(", ")));
    }
    warnings.extend_from_slice(&variables.warnings);
    let files = [file.files.as_slice(), variables.files.as_slice()].concat();
    let config = Config::builder().add_source(Layer::defaults()?).add_source(file).add_source(variables).build();
    let config = config.map_err(|error| SettingsError::Contradiction(error.to_string()))?;
    let values = Values(config);
    let settings = validate::settings(&values, environment, warnings, files)?;
    Ok((values, settings))
}

#[cfg(test)]
mod tests;
