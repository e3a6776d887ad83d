//! Migrations of several components in one file.

use std::path::Path;

use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::sql_types::Text;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};
use syncstorage_db_common::BoxedError;

use crate::open::OpenError;
use crate::sql::sql;

/// Runs what is pending of the migrations of each component, all of it or nothing.
///
/// The components keep their migrations in one table, told apart by name: a component's folders are called
/// `<component>-0001_…`, so that its versions begin with its name.
pub(crate) fn run(
    conn: &mut SqliteConnection,
    path: &Path,
    components: Vec<(&str, EmbeddedMigrations)>,
) -> Result<(), OpenError> {
    // Nearly always: then nobody's lock is waited for.
    if pending(conn, path, &components)?.is_empty() {
        return Ok(());
    }
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

/// The versions that [`run`] would run, in order, on a file that is there.
pub(crate) fn pending(
    conn: &mut SqliteConnection,
    path: &Path,
    components: &[(&str, EmbeddedMigrations)],
) -> Result<Vec<String>, OpenError> {
    let failed = |error: BoxedError| OpenError::Migration { path: path.to_owned(), reason: error.to_string() };
    // Not by Diesel, which would make its table to look into.
    let rows = sql::<(Text,)>("SELECT name FROM sqlite_schema WHERE name = '__diesel_schema_migrations'")
        .row::<(String,)>(conn)
        .map_err(|fault| failed(fault.into()))?;
    let applied: Vec<MigrationVersion<'_>> = match rows {
        Some(_) => conn.applied_migrations().map_err(failed)?,
        None => Vec::new(),
    };
    let mut pending = Vec::new();
    for (component, migrations) in components {
        if let Some(error) = unknown(path, component, migrations, &applied).map_err(failed)? {
            return Err(error);
        }
        pending.extend(
            versions(migrations)
                .map_err(failed)?
                .into_iter()
                .filter(|version| !applied.iter().any(|applied| applied.to_string() == *version)),
        );
    }
    Ok(pending)
}

/// The versions of a component, in order.
pub(crate) fn versions(migrations: &EmbeddedMigrations) -> Result<Vec<String>, BoxedError> {
    let migrations = MigrationSource::<Sqlite>::migrations(migrations)?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

/// An applied migration of a component that the component does not know.
fn unknown(
    path: &Path,
    component: &str,
    migrations: &EmbeddedMigrations,
    applied: &[MigrationVersion<'_>],
) -> Result<Option<OpenError>, BoxedError> {
    let known = versions(migrations)?;
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
