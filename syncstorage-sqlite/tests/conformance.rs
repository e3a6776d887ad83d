//! The conformance suite of storage backends, on SQLite.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};
use tempfile::TempDir;

fn open_at(path: &Path, options: DbOptions) -> Arc<SqliteDb> {
    let location = SqliteLocation::File(path.into());
    let engine = SqliteEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap();
    Arc::new(SqliteDb::new(engine, options))
}

async fn open(options: DbOptions) -> TestDb {
    let folder = TempDir::new().unwrap();
    TestDb::new(open_at(&folder.path().join("sync.db"), options), folder)
}

mod conformance {
    syncstorage_db_common::storage_conformance!(super::open);
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
