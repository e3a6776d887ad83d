//! The conformance suite of storage backends, on SQLite.

use std::sync::Arc;

use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};

async fn open(options: DbOptions) -> TestDb {
    let engine =
        SqliteEngine::open(&SqliteLocation::Temporary, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)])
            .unwrap();
    TestDb::new(Arc::new(SqliteDb::new(engine, options)), ())
}

syncstorage_db_common::storage_conformance!(open);
