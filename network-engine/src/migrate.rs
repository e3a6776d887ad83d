//! Migrations of several components in one database.
//!
//! What was done stands in the table `syncserver_schema`, which is this program's alone: the rows that others left in
//! `__diesel_schema_migrations` say nothing about it.

use std::sync::Arc;

use diesel::backend::Backend;
use diesel::migration::{Migration, MigrationSource, Result as MigrationResult};
use diesel_migrations::EmbeddedMigrations;

use crate::driver::Driver;
use crate::location::Location;
use crate::open::{OpenError, told};

const TABLE: &str = "syncserver_schema";

const APPLIED: &str = "SELECT version FROM syncserver_schema";

/// Fits both kinds of servers.
const CREATE_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS syncserver_schema (
        version varchar(100) NOT NULL PRIMARY KEY,
        run_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
    )";

type Components = Vec<(&'static str, EmbeddedMigrations)>;

/// Runs what is pending of the migrations of each component. Of several processes that do this at once, one does it and
/// the others find it done.
///
/// The components are told apart by name: a component's folders are called `<component>-0001_…`, so that its versions
/// begin with its name.
pub(crate) async fn run<C: Driver>(mut conn: C, location: &Location, components: Components) -> Result<(), OpenError> {
    let failed = |reason: String| migration_failed(location, String::new(), reason);
    // Held until this connection, which is used for nothing else, ends.
    let locked = conn.texts(C::LOCK_SCHEMA, None).await.map_err(|error| failed(told(&error)))?;
    if locked.first().map(String::as_str) != Some("1") {
        return Err(failed("another process has been changing the tables for ten minutes; wait for its end".into()));
    }
    conn.batch_execute(CREATE_TABLE).await.map_err(|error| failed(told(&error)))?;
    for step in pending_steps(&mut conn, location, components_with_own::<C>(components)).await? {
        conn = run_step(conn, location, step).await?;
    }
    Ok(())
}

/// The versions that [`run`] would run, in order.
pub(crate) async fn pending<C: Driver>(
    mut conn: C,
    location: &Location,
    components: Components,
) -> Result<Vec<String>, OpenError> {
    let components = components_with_own::<C>(components);
    let tables = conn.texts(C::FIND_TABLE, Some(TABLE)).await;
    let steps = if tables.map_err(|error| migration_failed(location, String::new(), told(&error)))?.is_empty() {
        steps::<C>(location, components)?
    } else {
        pending_steps(&mut conn, location, components).await?
    };
    Ok(steps.into_iter().map(|step| step.version).collect())
}

fn components_with_own<C: Driver>(components: Components) -> Components {
    std::iter::once(("engine", C::MIGRATIONS)).chain(components).collect()
}

/// A migration: the source that has it, and its version.
struct Step {
    component: &'static str,
    source: Arc<EmbeddedMigrations>,
    version: String,
}

async fn pending_steps<C: Driver>(
    conn: &mut C,
    location: &Location,
    components: Components,
) -> Result<Vec<Step>, OpenError> {
    let applied = conn.texts(APPLIED, None).await;
    let applied = applied.map_err(|error| migration_failed(location, String::new(), told(&error)))?;
    let names: Vec<&str> = components.iter().map(|(name, _)| *name).collect();
    let mut steps = steps::<C>(location, components)?;
    for name in names {
        let known = || steps.iter().filter(|step| step.component == name).map(|step| &step.version);
        let prefix = format!("{name}-");
        if let Some(found) =
            applied.iter().find(|version| version.starts_with(&prefix) && !known().any(|known| known == *version))
        {
            return Err(OpenError::TooNew {
                location: location.to_string(),
                component: name.to_owned(),
                found: found.clone(),
                known: known().next_back().cloned().unwrap_or_default(),
            });
        }
    }
    steps.retain(|step| !applied.contains(&step.version));
    Ok(steps)
}

fn steps<C: Driver>(location: &Location, components: Components) -> Result<Vec<Step>, OpenError> {
    let mut steps = Vec::new();
    for (component, source) in components {
        let source = Arc::new(source);
        let migrations = MigrationSource::<C::Backend>::migrations(&*source)
            .map_err(|error| migration_failed(location, String::new(), error.to_string()))?;
        for migration in migrations {
            steps.push(Step { component, source: Arc::clone(&source), version: version_of(migration.as_ref()) });
        }
    }
    Ok(steps)
}

/// The name of a migration up to its first underscore, such as `storage-0001`. (Diesel's own idea of a version leaves the
/// hyphens out.)
fn version_of<DB: Backend>(migration: &dyn Migration<DB>) -> String {
    let name = migration.name().to_string();
    name.split('_').next().unwrap_or_default().to_owned()
}

async fn run_step<C: Driver>(mut conn: C, location: &Location, step: Step) -> Result<C, OpenError> {
    let Step { source, version, .. } = step;
    let failed = |reason: String| migration_failed(location, format!(" (migration {version})"), reason);
    if C::TRANSACTIONAL_DDL {
        conn.batch_execute("BEGIN").await.map_err(|error| failed(told(&error)))?;
    }
    let wanted = version.clone();
    // Diesel's migrations are run by a thread that may wait.
    let ran = tokio::task::spawn_blocking(move || -> MigrationResult<C> {
        let migrations = MigrationSource::<C::Backend>::migrations(&*source)?;
        let migration = migrations.iter().find(|migration| version_of(migration.as_ref()) == wanted);
        let migration: &dyn Migration<C::Backend> = migration.ok_or("the migration is gone")?;
        conn.migrate(migration)
    })
    .await;
    let mut conn = ran.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(told(error.as_ref())))?;
    // The version is a name in this program; it needs no quoting.
    let end = if C::TRANSACTIONAL_DDL { "; COMMIT" } else { "" };
    conn.batch_execute(&format!("INSERT INTO {TABLE} (version) VALUES ('{version}'){end}"))
        .await
        .map_err(|error| failed(told(&error)))?;
    Ok(conn)
}

fn migration_failed(location: &Location, at: String, reason: String) -> OpenError {
    OpenError::Migration { location: location.to_string(), at, reason }
}
