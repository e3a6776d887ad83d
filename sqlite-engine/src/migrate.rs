//! Migrations of several components in one file.

use std::path::Path;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use syncstorage_db_common::BoxedError;

use crate::open::OpenError;

/// Runs what is pending of the migrations of each component, all of it or nothing.
///
/// The components keep their migrations in one table, told apart by name: a component's folders are called
/// `<component>-0001_…`, so that its versions begin with its name.
pub(crate) fn run(
    conn: &mut SqliteConnection,
    path: &Path,
    components: Vec<(&str, EmbeddedMigrations)>,
) -> Result<(), OpenError> {
    let mut too_new = None;
    // Several processes may start at once on one file: the first one in does it.
    conn.immediate_transaction(|conn| {
        let applied = conn.applied_migrations()?;
        for (component, migrations) in &components {
            too_new = unknown(path, component, migrations, &applied)?;
            if too_new.is_some() {
                return Ok(());
            }
        }
        for (_, migrations) in components {
            conn.run_pending_migrations(migrations)?;
        }
        Ok(())
    })
    .map_err(|error: BoxedError| OpenError::Migration { path: path.to_owned(), reason: error.to_string() })?;
    too_new.map_or(Ok(()), Err)
}

/// An applied migration of a component that the component does not know.
fn unknown(
    path: &Path,
    component: &str,
    migrations: &EmbeddedMigrations,
    applied: &[MigrationVersion<'_>],
) -> Result<Option<OpenError>, BoxedError> {
    let known: Vec<String> = MigrationSource::<Sqlite>::migrations(migrations)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let found = applied
        .iter()
        .map(ToString::to_string)
        .find(|version| version.starts_with(component) && !known.contains(version));
    Ok(found.map(|found| OpenError::TooNew {
        path: path.to_owned(),
        component: component.to_owned(),
        found,
        known: known.last().cloned().unwrap_or_default(),
    }))
}
