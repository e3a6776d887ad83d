//! The conformance suite of storage backends, on MySQL or MariaDB.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, Mutex, OnceLock};

use network_engine::{EngineOptions, MysqlEngine};
use syncstorage_db_common::DbOptions;
use syncstorage_mysql::{COMPONENT, MIGRATIONS, MysqlDb};

async fn open_at(url: &str, options: DbOptions) -> Arc<MysqlDb> {
    let engine_options = EngineOptions { max_size: 8, ..EngineOptions::default() };
    let engine = MysqlEngine::open(&url.parse().unwrap(), engine_options, vec![(COMPONENT, MIGRATIONS)]).await;
    Arc::new(MysqlDb::new(engine.unwrap(), options))
}

/// The databases are kept to the end of the process: some cases let go of all but the backend.
async fn open(options: DbOptions) -> Arc<MysqlDb> {
    static DATABASES: Mutex<Vec<testdb::Database>> = Mutex::new(Vec::new());
    let database = testdb::mysql();
    let db = open_at(database.url(), options).await;
    DATABASES.lock().unwrap().push(database);
    db
}

/// One database for all cases that bear that.
fn shared() -> &'static str {
    static DATABASE: OnceLock<testdb::Database> = OnceLock::new();
    DATABASE.get_or_init(testdb::mysql).url()
}

/// Each case has a runtime of its own, and connections are of the runtime that they were made on.
async fn open_shared(options: DbOptions) -> Arc<MysqlDb> {
    open_at(shared(), options).await
}

mod conformance {
    syncstorage_db_common::storage_conformance!(super::open, shared = super::open_shared);
}

mod two_servers {
    syncstorage_db_common::storage_conformance_of_two_servers!(super::open_shared);
}
