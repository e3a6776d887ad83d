//! The conformance suite of storage backends, on MySQL or MariaDB.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::{Arc, OnceLock};

use network_engine::{EngineOptions, MysqlEngine};
use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;
use syncstorage_db_common::testing::archive::ArchiveDb;
use syncstorage_mysql::{COMPONENT, MIGRATIONS, MysqlArchive, MysqlDb};

async fn engine(url: &str) -> Arc<MysqlEngine> {
    let options = EngineOptions { max_size: 8, ..EngineOptions::default() };
    MysqlEngine::open(&url.parse().unwrap(), options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap()
}

async fn open_at(url: &str, options: DbOptions) -> Arc<MysqlDb> {
    Arc::new(MysqlDb::new(engine(url).await, options))
}

async fn open(options: DbOptions) -> TestDb {
    let database = testdb::mysql();
    TestDb::new(open_at(database.url(), options).await, database)
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

async fn open_as_a_whole(options: DbOptions) -> ArchiveDb {
    let database = testdb::mysql();
    let engine = engine(database.url()).await;
    let archive = Arc::new(MysqlArchive::new(Arc::clone(&engine)));
    ArchiveDb::new(Arc::new(MysqlDb::new(engine, options)), archive, database)
}

mod as_a_whole {
    syncstorage_db_common::storage_archive_conformance!(super::open_as_a_whole);
}

mod two_servers {
    syncstorage_db_common::storage_conformance_of_two_servers!(super::open_shared);
}
