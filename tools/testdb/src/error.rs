//! What can go wrong with a server.

use crate::Engine;
use std::io;

/// Why there is no server. Each is a sentence for whoever started it.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A program is missing.
    #[error(
        "{engine} is not installed: there is no {program} on the PATH or in the usual folders. Install it (Debian, Ubuntu: \
         apt-get install {package}), or ask for less, such as `make test BACKENDS=sqlite`"
    )]
    Missing {
        /// The engine.
        engine: Engine,
        /// The program that was looked for.
        program: &'static str,
        /// The package of Debian that has it.
        package: &'static str,
    },
    /// The package manager failed.
    #[error(
        "cannot install {package}: {why}. Install it by hand, or ask for less, such as `make test BACKENDS=sqlite`"
    )]
    Install {
        /// The package.
        package: &'static str,
        /// What the package manager says.
        why: String,
    },
    /// A file or folder.
    #[error("{what}: {error}")]
    File {
        /// What was done.
        what: String,
        /// The system's word.
        error: io::Error,
    },
    /// A program that ended as it should not.
    #[error("{program} ended with {status}; the end of what it wrote:\n{log}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A server that does not answer.
    #[error("{engine} does not answer ({why}); the end of its log:\n{log}")]
    Silent {
        /// The engine.
        engine: Engine,
        /// What came of the last attempt.
        why: String,
        /// The end of its log.
        log: String,
    },
}

impl ServerError {
    /// For a file or folder.
    pub(crate) fn file(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::File { what, error }
    }
}
