//! Where values come from: the defaults, then the settings file, then the environment, each over the one before.
//!
//! A layer maps the path of a setting to its value. The origin of a value is the name under which it was given, for
//! messages; a default has none.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use config::{Map, Source, Value, ValueKind};

use super::error::SettingsError;
use super::names::{COLLECTIONS, Name, OF_COMMANDS, nearest_in_environment, nearest_in_file};
use super::reference::{settings, variable};

/// Larger files than this are no settings, and no secrets.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Values from one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: Map<String, Value>,
    /// Names of settings that mean nothing here, in the order in which they were found.
    pub(super) ignored: Vec<String>,
    /// Sentences for the log.
    pub(super) warnings: Vec<String>,
    /// What was read.
    pub(super) files: Vec<PathBuf>,
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.values.clone())
    }
}

impl Layer {
    fn set(&mut self, path: &str, origin: Option<&String>, kind: ValueKind) {
        self.values.insert(path.to_owned(), Value::new(origin, kind));
    }

    /// Sets what a file holds: one line break at its end is not part of it, and a list has one entry a line.
    fn set_from_file(&mut self, path: &str, origin: String, file: &Path) -> Result<(), SettingsError> {
        if let Some(of) = self.values.get(path) {
            let setting = of.origin().unwrap_or_default().to_owned();
            return Err(SettingsError::Twice { setting, file_setting: origin });
        }
        let text = read(file).map_err(|error| SettingsError::ValueFile {
            setting: origin.clone(),
            path: file.to_owned(),
            reason: reason(&error),
        })?;
        self.files.push(file.to_owned());
        let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
        let kind = if path == "previous_master_secrets" {
            ValueKind::Array(text.lines().map(|line| Value::new(Some(&origin), line)).collect())
        } else {
            text.into()
        };
        self.set(path, Some(&origin), kind);
        Ok(())
    }

    /// The defaults, as the reference has them.
    pub(super) fn defaults() -> Result<Self, SettingsError> {
        let mut layer = Self::default();
        for setting in settings() {
            let Some(default) = setting.default else { continue };
            let table: toml::Table = format!("value = {default}").parse().map_err(|_| SettingsError::Invalid {
                setting: setting.path.clone(),
                expected: "TOML in the reference".to_owned(),
                found: default.to_owned(),
            })?;
            for (_, value) in table {
                layer.set(&setting.path, None, kind(value));
            }
        }
        Ok(layer)
    }

    /// The settings file.
    pub(super) fn file(path: &Path) -> Result<Self, SettingsError> {
        let text =
            read(path).map_err(|error| SettingsError::Unreadable { path: path.to_owned(), reason: reason(&error) })?;
        let mut layer = Self::toml(path, &text)?;
        layer.files.push(path.to_owned());
        Ok(layer)
    }

    /// The text of a settings file.
    pub(super) fn toml(path: &Path, text: &str) -> Result<Self, SettingsError> {
        // The error's own Display shows the line, which may hold a secret.
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            SettingsError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
                reason: error.message().replace('\n', ", "),
            }
        })?;
        let mut layer = Self::default();
        let mut value_files = Vec::new();
        layer.add_table(path, "", table, &mut value_files)?;
        for (of, origin, value) in value_files {
            // A relative path is one seen from the settings file, wherever the server was started.
            let value = path.parent().unwrap_or(Path::new("")).join(value);
            layer.set_from_file(of, origin, &value)?;
        }
        Ok(layer)
    }

    fn add_table(
        &mut self,
        file: &Path,
        section: &str,
        table: toml::Table,
        value_files: &mut Vec<(&'static str, String, String)>,
    ) -> Result<(), SettingsError> {
        let label = |name: &str| format!("{name} in {}", file.display());
        for (name, value) in table {
            let path = format!("{section}{name}");
            match (Name::in_file(&path), value) {
                // `config` would merge tables, and forget where they came from.
                (Name::Setting(COLLECTIONS), value @ toml::Value::Table(_)) => {
                    let json = serde_json::to_string(&value).unwrap_or_default();
                    self.set(COLLECTIONS, Some(&label(COLLECTIONS)), json.into());
                }
                (Name::Setting(path), toml::Value::Table(_)) => {
                    return Err(SettingsError::Invalid {
                        setting: label(path),
                        expected: "a value".to_owned(),
                        found: "a section".to_owned(),
                    });
                }
                (Name::Setting(path), value) => self.set(path, Some(&label(path)), kind(value)),
                (Name::FileOf(of), toml::Value::String(value)) => value_files.push((of, label(&path), value)),
                (Name::FileOf(_), value) => {
                    return Err(SettingsError::Invalid {
                        setting: label(&path),
                        expected: "the path of a file, in quotes".to_owned(),
                        found: format!("a value of type {}", value.type_str()),
                    });
                }
                (Name::Ignored, _) => self.ignored.push(label(&path)),
                (Name::Section, toml::Value::Table(table)) => {
                    self.add_table(file, &format!("{path}."), table, value_files)?;
                }
                (Name::Section, value) => {
                    return Err(SettingsError::Invalid {
                        setting: label(&path),
                        expected: format!("a section, [{path}]"),
                        found: format!("a value of type {}", value.type_str()),
                    });
                }
                (Name::Unknown, _) => {
                    return Err(SettingsError::Unknown {
                        setting: label(&path),
                        nearest: nearest_in_file(&path).to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The variables of the environment that are ours.
    pub(super) fn environment(variables: &[(OsString, OsString)]) -> Result<Self, SettingsError> {
        let mut layer = Self::default();
        let mut value_files = Vec::new();
        for (name, value) in variables {
            let Some(name) = name.to_str() else { continue };
            let known = Name::in_environment(name);
            // Also one of the unknown names: it sets nothing.
            let is_of_others = known == Name::Unknown && (!name.starts_with("SYNC_") || OF_COMMANDS.contains(&name));
            if value.is_empty() || is_of_others {
                continue;
            }
            match known {
                Name::Setting(path) => layer.set(path, Some(&name.to_owned()), text(name, value)?.into()),
                Name::FileOf(of) => value_files.push((of, name.to_owned(), PathBuf::from(value))),
                Name::Ignored => layer.ignored.push(name.to_owned()),
                Name::Section | Name::Unknown => layer.add_unknown(name)?,
            }
        }
        for (of, origin, file) in value_files {
            layer.set_from_file(of, origin, &file)?;
        }
        Ok(layer)
    }

    fn add_unknown(&mut self, name: &str) -> Result<(), SettingsError> {
        let (nearest, is_ours) = nearest_in_environment(name);
        if is_ours {
            return Err(SettingsError::Unknown { setting: name.to_owned(), nearest: nearest.to_owned() });
        }
        self.warnings.push(format!("the environment variable {name} is no setting of this server and is ignored"));
        Ok(())
    }
}

/// The name under which an operator would set a setting that is not set.
pub(super) fn name_to_set(path: &str) -> String {
    format!("{path} ({})", variable(path))
}

fn text(name: &str, value: &OsStr) -> Result<String, SettingsError> {
    value.to_str().map(ToOwned::to_owned).ok_or_else(|| SettingsError::Invalid {
        setting: name.to_owned(),
        expected: "text in UTF-8".to_owned(),
        found: "other bytes".to_owned(),
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The same value as `config` has it.
fn kind(value: toml::Value) -> ValueKind {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => {
            ValueKind::Array(values.into_iter().map(|value| Value::new(None, kind(value))).collect())
        }
        // No setting has one but the one above, which is JSON by now.
        toml::Value::Table(_) => ValueKind::Nil,
    }
}
