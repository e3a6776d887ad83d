//! Migrations of several components in one file.

use std::path::Path;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use syncstorage_db_common::BoxedError;

use crate::open::OpenError;

/// Runs what is pending of `migrations`, all of it or nothing.
///
/// The components keep their migrations in one table, told apart by name: a component's folders are called
/// `<component>-0001_…`, so that its versions begin with its name.
pub(crate) fn run(
    conn: &mut SqliteConnection,
    path: &Path,
    component: &str,
    migrations: EmbeddedMigrations,
) -> Result<(), OpenError> {
    let failed = |reason: String| OpenError::Migration { path: path.to_owned(), reason };
    let mut too_new = None;
    // Several processes may start at once on one file: the first one in does it.
    conn.immediate_transaction(|conn| {
        let known: Vec<String> = MigrationSource::<Sqlite>::migrations(&migrations)?
            .iter()
            .map(|migration| migration.name().version().to_string())
            .collect();
        let unknown = |version: &MigrationVersion<'_>| {
            let version = version.to_string();
            version.starts_with(component) && !known.contains(&version)
        };
        if let Some(found) = conn.applied_migrations()?.iter().find(|version| unknown(version)) {
            too_new = Some((found.to_string(), known.last().cloned().unwrap_or_default()));
            return Ok(());
        }
        conn.run_pending_migrations(migrations).map(|_| ())
    })
    .map_err(|error: BoxedError| failed(error.to_string()))?;
    match too_new {
        Some((found, known)) => {
            Err(OpenError::TooNew { path: path.to_owned(), component: component.to_owned(), found, known })
        }
        None => Ok(()),
    }
}
