//! What can go wrong before the first question to a database. Who gave its URL, and by which setting, is told by the
//! program.

use std::error::Error;
use std::time::Duration;

use tokio::time::timeout;

use crate::driver::Driver;
use crate::location::Location;

/// How long a server may take to let this program in. The drivers' own limits end with the first sign of life.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Connects, within a limit.
pub(crate) async fn connect<C: Driver>(location: &Location) -> Result<C, OpenError> {
    timeout(CONNECT_LIMIT, C::connect(location)).await.unwrap_or_else(|_| {
        let reason = format!("it did not answer within {} s", CONNECT_LIMIT.as_secs());
        Err(OpenError::Unreachable { location: location.to_string(), reason })
    })
}

/// Why a database cannot be used; each is a sentence for the operator, and shows no password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody answers there.
    #[error(
        "cannot reach the database {location}: {reason}. Expected a server that answers at this host and port; is it \
         running?"
    )]
    Unreachable {
        /// Where it should be.
        location: String,
        /// In the driver's words.
        reason: String,
    },
    /// The server does not let this program in.
    #[error(
        "the database server refuses the user of {location}: {reason}. Expected a user with this password who may use \
         this database; special characters of a password are percent-encoded in the URL (@ as %40)"
    )]
    Denied {
        /// Where.
        location: String,
        /// In the server's words.
        reason: String,
    },
    /// There is a server, and no such database.
    #[error("there is no database {database:?} on the server of {location}. Create it ({create}), or name another one")]
    NoDatabase {
        /// Where.
        location: String,
        /// The name.
        database: String,
        /// How it is created.
        create: String,
    },
    /// A server that lacks what this program needs.
    #[error("the database {location} is on {found}; expected {expected} or later")]
    TooOld {
        /// Where.
        location: String,
        /// The server's version.
        found: String,
        /// The oldest that will do.
        expected: &'static str,
    },
    /// The certificates.
    #[error("cannot use the root certificates {path} for the database: {reason} (they are named in its URL)")]
    Certificates {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A migration of a later version of this program has been here.
    #[error(
        "the database {location} has the schema {found} of a newer version of this server; this version knows \
         {component} up to {known}. Run the newer version, or restore a backup made before the upgrade"
    )]
    TooNew {
        /// Where.
        location: String,
        /// Whose tables: `storage`, `tokenserver` or `engine`.
        component: String,
        /// The unknown migration.
        found: String,
        /// The last migration that this program has.
        known: String,
    },
    /// A migration failed.
    #[error("cannot bring the tables of the database {location} up to date{at}: {reason}")]
    Migration {
        /// Where.
        location: String,
        /// Which migration, as words to add; empty where none was begun.
        at: String,
        /// In the server's words.
        reason: String,
    },
}

/// An error with all that lies behind it.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some print their source already.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
