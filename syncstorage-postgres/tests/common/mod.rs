//! Databases for the tests.

use std::sync::Arc;

use network_engine::{EngineOptions, Location, PostgresEngine};
use syncstorage_db_common::DbOptions;
use syncstorage_postgres::{COMPONENT, MIGRATIONS, PostgresDb};
use testdb::Database;

/// Opens a database as a server does, migrations included.
pub(crate) async fn engine(url: &str) -> Arc<PostgresEngine> {
    let location: Location = url.parse().unwrap();
    let options = EngineOptions { max_size: 8, ..EngineOptions::default() };
    PostgresEngine::open(&location, options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap()
}

/// The storage in a database.
pub(crate) async fn open_at(database: &Database, options: DbOptions) -> Arc<PostgresDb> {
    Arc::new(PostgresDb::new(engine(database.url()).await, options))
}
