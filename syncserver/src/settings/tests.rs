//! Whole loads: what operators write, and what comes of it.

mod defaults;
mod environment;
mod file;
mod panics;
mod refusals;

use std::fs;
use std::path::Path;

use super::layers::Layer;
use super::{Settings, SettingsError, load, merge};

/// Loads with variables of the environment alone.
fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    load(None, variables.iter().copied())
}

/// Loads with the text of a settings file, which is called `my.toml`, and with variables.
fn from_file(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    merge(Layer::toml(Path::new("my.toml"), text)?, &variables).map(|(_, settings)| settings)
}

/// A folder with files in it.
fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}
