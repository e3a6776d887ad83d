//! Why settings were refused.

use std::path::PathBuf;

/// Settings that cannot be used. Each message is a sentence that says what to change, and holds no secret.
///
/// `setting` is the name under which the value was given: a variable of the environment, or a name in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The settings file is not there or may not be read.
    #[error("the settings file {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The settings file is no TOML.
    #[error("the settings file {} is not valid TOML at line {line}, column {column}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        reason: String,
    },
    /// A name that is no setting.
    #[error("there is no setting {setting}; did you mean {nearest}?")]
    Unknown {
        /// The name.
        setting: String,
        /// The name of a setting, or of a section, that is most like it.
        nearest: String,
    },
    /// A value that cannot be one of its setting.
    #[error("{setting} must be {expected}, found {found}")]
    Invalid {
        /// The name.
        setting: String,
        /// What the values are.
        expected: String,
        /// The value, or what it is where it must not be shown.
        found: String,
    },
    /// A value and a file with the value.
    #[error("{setting} and {file_setting} are both set; remove one of them")]
    Twice {
        /// The name of the value.
        setting: String,
        /// The name of the setting that names the file.
        file_setting: String,
    },
    /// A file with a value that cannot be read.
    #[error("{setting} names the file {}, which cannot be used: {reason}", path.display())]
    ValueFile {
        /// The name of the setting that names the file.
        setting: String,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Values that do not go together, or a value that needs another one.
    #[error("{0}")]
    Contradiction(String),
}
