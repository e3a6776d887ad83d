//! Looking at a file from beside its engine.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, columns, is_in_use, open_to_read, sql};
use tempfile::TempDir;

#[tokio::test]
async fn a_file_is_in_use_as_long_as_an_engine_has_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sync.db");
    assert!(!is_in_use(&path).unwrap(), "there is none");
    let open =
        || SqliteEngine::open(&SqliteLocation::File(path.clone()), EngineOptions::default(), Vec::new()).unwrap();
    let engine = open();
    assert!(is_in_use(&path).unwrap(), "its writer alone");
    engine.check().await.unwrap();
    assert!(is_in_use(&path).unwrap());
    drop(engine);
    assert!(!is_in_use(&path).unwrap());
    open().check().await.unwrap();
}

#[test]
fn the_file_of_another_program_is_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("places.db");
    let mut other = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    other.batch_execute("PRAGMA journal_mode = WAL; CREATE TABLE places (url TEXT, title TEXT)").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    assert!(!is_in_use(&path).unwrap());
    let mut conn = open_to_read(&path).unwrap();
    assert_eq!(columns(&mut conn, "places").unwrap(), ["url", "title"]);
    assert!(columns(&mut conn, "bso").unwrap().is_empty());
    assert!(sql("INSERT INTO places VALUES ('x', 'y')").run(&mut conn).is_err(), "it is only read");
    drop(conn);
    assert!(std::fs::read(&path).unwrap() == before);
    assert!(open_to_read(&folder.path().join("missing")).is_err());
    assert!(!folder.path().join("missing").exists());
}

#[tokio::test]
async fn a_note_is_kept_changed_and_taken_away() {
    let folder = TempDir::new().unwrap();
    let location = SqliteLocation::File(folder.path().join("sync.db"));
    let engine = SqliteEngine::open(&location, EngineOptions::default(), Vec::new()).unwrap();
    for value in [Some("one"), Some("two"), None, None] {
        engine.set_note("a note", value.map(str::to_owned)).await.unwrap();
        assert_eq!(engine.note("a note").await.unwrap().as_deref(), value);
    }
}
