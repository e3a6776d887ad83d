//! The conformance suite of storage backends, on Postgres.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::{Arc, OnceLock};

use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;
use syncstorage_db_common::testing::archive::ArchiveDb;
use syncstorage_postgres::{PostgresArchive, PostgresDb};
use testdb::Database;

async fn open(options: DbOptions) -> TestDb {
    let database = testdb::postgres();
    TestDb::new(common::open_at(&database, options).await, database)
}

/// An engine for each case, as each has a runtime of its own.
async fn open_shared(options: DbOptions) -> Arc<PostgresDb> {
    static SHARED: OnceLock<Database> = OnceLock::new();
    common::open_at(SHARED.get_or_init(testdb::postgres), options).await
}

mod conformance {
    syncstorage_db_common::storage_conformance!(super::open, shared = super::open_shared);
}

async fn open_as_a_whole(options: DbOptions) -> ArchiveDb {
    let database = testdb::postgres();
    let engine = common::engine(database.url()).await;
    let archive = Arc::new(PostgresArchive::new(Arc::clone(&engine)));
    ArchiveDb::new(Arc::new(PostgresDb::new(engine, options)), archive, database)
}

mod as_a_whole {
    syncstorage_db_common::storage_archive_conformance!(super::open_as_a_whole);
}

/// Two engines on one database, as two processes would have them.
mod two_servers {
    syncstorage_db_common::storage_conformance_of_two_servers!(super::open_shared);
}
