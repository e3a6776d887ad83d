//! Values of settings as the types that they should have.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use config::{Config, Value, ValueKind};

use super::error::SettingsError;
use super::layers::name_to_set;
use super::names::HAVE_A_FILE;
use super::secret::Secret;

/// No time in the settings is longer: a century, in seconds.
pub(super) const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// Of a longer text an error message shows so many characters.
const LONGEST_SHOWN: usize = 80;

/// All values that were given, and the defaults of the others.
///
/// A value of the environment is text; here the type that is asked for says how to read it, so that a secret of
/// digits stays text.
#[derive(Debug)]
pub(super) struct Values(pub(super) Config);

impl Values {
    /// The value of a setting, if it has one.
    fn find(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.0.cache, |at, name| match &at.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        })
    }

    /// Whether the operator gave a value, rather than the reference.
    pub(super) fn is_set(&self, path: &str) -> bool {
        self.find(path).is_some_and(|value| value.origin().is_some())
    }

    /// The name under which the value of a setting was given, or could be.
    pub(super) fn name(&self, path: &str) -> String {
        self.find(path).and_then(Value::origin).map_or_else(|| name_to_set(path), ToOwned::to_owned)
    }

    /// That the value of a setting should be something else.
    pub(super) fn invalid(&self, path: &str, expected: impl fmt::Display, found: impl fmt::Display) -> SettingsError {
        let (expected, found) = (expected.to_string(), found.to_string());
        SettingsError::Invalid { setting: self.name(path), expected, found }
    }

    fn mismatch(&self, path: &str, expected: impl fmt::Display) -> SettingsError {
        let found = self.find(path).map_or_else(|| "nothing".to_owned(), |value| describe(path, &value.kind));
        self.invalid(path, expected, found)
    }

    /// Text that may not be empty.
    pub(super) fn optional_text(&self, path: &str) -> Result<Option<&str>, SettingsError> {
        match self.find(path).map(|value| &value.kind) {
            None => Ok(None),
            Some(ValueKind::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(ValueKind::String(_)) => Err(self.mismatch(path, "text, not empty")),
            Some(_) => Err(self.mismatch(path, "text in quotes")),
        }
    }

    /// Text that may not be empty.
    pub(super) fn text(&self, path: &str) -> Result<&str, SettingsError> {
        self.optional_text(path)?.ok_or_else(|| self.mismatch(path, "set"))
    }

    /// Text that may be empty, where that means something.
    pub(super) fn text_or_empty(&self, path: &str) -> Result<&str, SettingsError> {
        match self.find(path).map(|value| &value.kind) {
            Some(ValueKind::String(text)) => Ok(text.trim()),
            _ => Err(self.mismatch(path, "text in quotes")),
        }
    }

    /// Text that nobody should see.
    pub(super) fn secret(&self, path: &str) -> Result<Option<Secret>, SettingsError> {
        Ok(self.optional_text(path)?.map(Secret::new))
    }

    /// Text of a type of its own.
    pub(super) fn parsed<T>(
        &self,
        path: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        parse(self.text(path)?).ok_or_else(|| self.mismatch(path, expected))
    }

    /// `true` or `false`.
    pub(super) fn optional_flag(&self, path: &str) -> Result<Option<bool>, SettingsError> {
        let flag = match self.find(path).map(|value| &value.kind) {
            None => return Ok(None),
            Some(ValueKind::Boolean(flag)) => Some(*flag),
            Some(ValueKind::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Some(true),
                "false" | "0" | "no" | "off" => Some(false),
                _ => None,
            },
            Some(_) => None,
        };
        flag.map(Some).ok_or_else(|| self.mismatch(path, "true or false"))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, path: &str) -> Result<bool, SettingsError> {
        self.optional_flag(path)?.ok_or_else(|| self.mismatch(path, "set"))
    }

    /// A whole number.
    pub(super) fn optional_whole<T: TryFrom<u64>>(
        &self,
        path: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.find(path) else { return Ok(None) };
        let number = whole(&value.kind).filter(|number| range.contains(number)).and_then(|n| T::try_from(n).ok());
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.mismatch(path, expected()))
    }

    /// A whole number.
    pub(super) fn whole<T: TryFrom<u64>>(&self, path: &str, range: RangeInclusive<u64>) -> Result<T, SettingsError> {
        self.optional_whole(path, range)?.ok_or_else(|| self.mismatch(path, "set"))
    }

    /// A time in whole seconds, from `shortest`.
    pub(super) fn optional_seconds(&self, path: &str, shortest: u64) -> Result<Option<Duration>, SettingsError> {
        let seconds = self.optional_whole(path, shortest..=LONGEST);
        seconds
            .map(|seconds| seconds.map(Duration::from_secs))
            .map_err(|_| self.mismatch(path, format_args!("a time in whole seconds from {shortest} to {LONGEST}")))
    }

    /// A time in whole seconds, from `shortest`.
    pub(super) fn seconds(&self, path: &str, shortest: u64) -> Result<Duration, SettingsError> {
        self.optional_seconds(path, shortest)?.ok_or_else(|| self.mismatch(path, "set"))
    }

    /// A number above 0, at most 1.
    pub(super) fn part(&self, path: &str) -> Result<f64, SettingsError> {
        let number = match self.find(path).map(|value| &value.kind) {
            Some(ValueKind::Float(number)) => Some(*number),
            Some(ValueKind::I64(1)) => Some(1.0),
            Some(ValueKind::String(text)) => text.trim().parse().ok(),
            Some(_) | None => None,
        };
        let number = number.filter(|number| *number > 0.0 && *number <= 1.0);
        number.ok_or_else(|| self.mismatch(path, "a number above 0 and up to 1"))
    }

    /// A list of texts. As text it is either JSON or has commas; then what is around the entries is left out.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, SettingsError> {
        let entries = match self.find(path).map(|value| &value.kind) {
            None => Some(Vec::new()),
            Some(ValueKind::String(text)) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok(),
            Some(ValueKind::String(text)) => {
                Some(text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(ToOwned::to_owned).collect())
            }
            Some(ValueKind::Array(values)) => values
                .iter()
                .map(|value| match &value.kind {
                    ValueKind::String(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            Some(_) => None,
        };
        let entries: Option<Vec<String>> = entries;
        let entries = entries.filter(|entries| entries.iter().all(|entry| !entry.is_empty()));
        entries.ok_or_else(|| self.mismatch(path, "a list of texts, none of them empty"))
    }

    /// A value that has a shape of its own, as JSON.
    pub(super) fn json(&self, path: &str) -> Result<Option<serde_json::Value>, SettingsError> {
        match self.find(path).map(|value| &value.kind) {
            None => Ok(None),
            Some(ValueKind::String(text)) => {
                serde_json::from_str(text).map(Some).map_err(|error| self.invalid(path, "JSON", error))
            }
            Some(_) => Err(self.mismatch(path, "a table, or JSON")),
        }
    }

    /// The path of a file or folder.
    pub(super) fn optional_path(&self, path: &str) -> Result<Option<&Path>, SettingsError> {
        match self.optional_text(path)? {
            Some(text) if text.contains('\0') => Err(self.mismatch(path, "a path")),
            text => Ok(text.map(Path::new)),
        }
    }
}

fn whole(kind: &ValueKind) -> Option<u64> {
    match kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        // Rust would take a plus sign.
        ValueKind::String(text) => {
            Some(text.trim()).filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok())
        }
        _ => None,
    }
}

/// A value for an error message; only its type where it may be a secret.
fn describe(path: &str, kind: &ValueKind) -> String {
    // What holds a secret may have been written where another type belongs, so that no part of it is shown.
    let is_secret = HAVE_A_FILE.contains(&path) || path == "sentry_dsn";
    match kind {
        ValueKind::String(text) if text.is_empty() => "empty text".to_owned(),
        ValueKind::String(_) if is_secret => "other text".to_owned(),
        ValueKind::String(text) if text.chars().count() > LONGEST_SHOWN => {
            format!("{:?} and so on", text.chars().take(LONGEST_SHOWN).collect::<String>())
        }
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Table(_) => "a section".to_owned(),
        ValueKind::Nil => "nothing".to_owned(),
        _ if is_secret => "a value that is not in quotes".to_owned(),
        ValueKind::Boolean(flag) => flag.to_string(),
        ValueKind::I64(number) => number.to_string(),
        ValueKind::Float(number) => number.to_string(),
        ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a number".to_owned(),
    }
}
