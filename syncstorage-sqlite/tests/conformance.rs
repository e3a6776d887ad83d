//! The conformance suite of storage backends, on SQLite.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;
use syncstorage_db_common::testing::archive::ArchiveDb;
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteArchive, SqliteDb};
use tempfile::TempDir;

fn engine(path: &Path) -> Arc<SqliteEngine> {
    let location = SqliteLocation::File(path.into());
    SqliteEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap()
}

fn open_at(path: &Path, options: DbOptions) -> Arc<SqliteDb> {
    Arc::new(SqliteDb::new(engine(path), options))
}

async fn open(options: DbOptions) -> TestDb {
    let folder = TempDir::new().unwrap();
    TestDb::new(open_at(&folder.path().join("sync.db"), options), folder)
}

mod conformance {
    syncstorage_db_common::storage_conformance!(super::open);
}

async fn open_as_a_whole(options: DbOptions) -> ArchiveDb {
    let folder = TempDir::new().unwrap();
    let engine = engine(&folder.path().join("sync.db"));
    let archive = Arc::new(SqliteArchive::new(Arc::clone(&engine)));
    ArchiveDb::new(Arc::new(SqliteDb::new(engine, options)), archive, folder)
}

mod as_a_whole {
    syncstorage_db_common::storage_archive_conformance!(super::open_as_a_whole);
}

/// Two engines on one file, as two processes would have them.
async fn open_same(options: DbOptions) -> Arc<SqliteDb> {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("two-servers");
        // What an earlier run left; there may be none.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("sync.db")
    });
    open_at(file, options)
}

mod two_servers {
    syncstorage_db_common::storage_conformance_of_two_servers!(super::open_same);
}
