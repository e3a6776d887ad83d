//! Everything from one database to another: by backups, and straight from databases of other servers.
//!
//! These tests go by the library, so that they own the clock; the commands are tested in `tests/process`. They need a
//! server of each kind, whatever `TEST_BACKEND` says.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod imports;
mod moves;
mod python;
mod safety;

use std::path::{Path, PathBuf};

use syncserver::archive::copy::{Sources, Stop};
use syncserver::archive::format::{Header, VERSION};
use syncserver::archive::read::Reader;
use syncserver::archive::write::Writer;
use syncserver::archive::{Counts, Item};
use syncserver::backend::Whole;
use syncserver::settings::{self, Settings};
use syncstorage_db_common::Sink;
use tempfile::TempDir;
use testdb::Database;

/// A place for a server's data.
struct Place {
    folder: TempDir,
    database: Option<Database>,
}

impl Place {
    fn sqlite() -> Self {
        Self { folder: TempDir::new().unwrap(), database: None }
    }

    fn on(database: Database) -> Self {
        Self { folder: TempDir::new().unwrap(), database: Some(database) }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("sync.db")
    }

    fn url(&self) -> String {
        match &self.database {
            Some(database) => database.url().to_owned(),
            None => format!("sqlite://{}", self.file().display()),
        }
    }

    fn settings(&self) -> Settings {
        let environment = [
            ("SYNC_DATA_DIR", text(self.folder.path())),
            ("SYNC_MASTER_SECRET", "a master secret for tests"),
            ("SYNC_SYNCSTORAGE__DATABASE_URL", &self.url()),
        ];
        settings::load(None, environment).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A backup of what there is, the same for the same contents.
async fn backup(sources: &Sources, now_ms: i64) -> Vec<u8> {
    let fixed = || "the same".to_owned();
    let header = Header { version: VERSION, created: fixed(), server: fixed(), storage: fixed(), tokenserver: fixed() };
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    sources.dump(now_ms, &mut writer).await.unwrap();
    writer.finish().unwrap().0
}

fn items(backup: &[u8]) -> Vec<Item> {
    let mut reader = Reader::new(backup).unwrap();
    std::iter::from_fn(|| reader.next_item().unwrap()).collect()
}

async fn restore(settings: &Settings, backup: &[u8]) -> Counts {
    let whole = Whole::open(settings).await.unwrap();
    let items = items(backup);
    whole.begin("restore").await.unwrap();
    whole.targets.clear(true).await.unwrap();
    let stop = Stop::default();
    let produce = move |sink: &mut dyn Sink<Item>| {
        items.into_iter().try_for_each(|item| sink.push(item)).map_err(|e| e.to_string())
    };
    let counts = whole.targets.fill(produce, &stop, |_| {}).await.unwrap();
    whole.end().await.unwrap();
    counts
}
