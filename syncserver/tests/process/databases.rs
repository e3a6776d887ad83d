//! Databases that the server must not touch, or cannot read.

use std::fs;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection as _, SqliteConnection};

use crate::program::{Folder, text};

/// Starts the server on what is there for its database, which it must refuse, naming these, and leave as it was.
fn assert_refused(folder: &Folder, names: &[&str]) {
    let before = fs::read(folder.database()).unwrap();
    let refusal = folder.refusal(&[]);
    refusal.names(&[text(&folder.database()), "database"]);
    refusal.names(names);
    assert!(fs::read(folder.database()).unwrap() == before, "the file has changed");
}

/// A folder with a database that a server has used.
async fn used() -> Folder {
    let folder = Folder::new();
    let server = folder.start();
    let mut client = server.user(1).await;
    for n in 0..50 {
        client.keep(&n.to_string(), &"x".repeat(10_000)).await;
    }
    server.stop();
    folder
}

pub(crate) fn sql(folder: &Folder, statements: &str) {
    let mut database = SqliteConnection::establish(text(&folder.database())).unwrap();
    // The server may be writing.
    database.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    database.batch_execute(statements).unwrap();
}

/// The tables as they were made, and the migrations that made them.
fn tables(folder: &Folder) -> Vec<(String,)> {
    let select = "SELECT ifnull(sql, name) FROM sqlite_schema UNION ALL SELECT version FROM __diesel_schema_migrations";
    let mut database = SqliteConnection::establish(text(&folder.database())).unwrap();
    sqlite_engine::sql::<(Text,)>(select).rows(&mut database).unwrap()
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    for content in [vec![b'x'; 5_000], b"SQLite format 3\0 but nothing else that is right".repeat(100)] {
        let folder = Folder::new();
        fs::create_dir(folder.data()).unwrap();
        fs::write(folder.database(), content).unwrap();
        assert_refused(&folder, &["backup"]);
    }
}

#[tokio::test]
async fn a_database_with_a_broken_beginning_is_refused() {
    let folder = used().await;
    let mut bytes = fs::read(folder.database()).unwrap();
    // The header stays: what comes after it is the list of tables.
    bytes[100..4096].fill(0xff);
    fs::write(folder.database(), bytes).unwrap();
    assert_refused(&folder, &["backup"]);
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_refused() {
    let folder = used().await;
    let mut bytes = fs::read(folder.database()).unwrap();
    bytes.truncate(3 * 4096);
    fs::write(folder.database(), bytes).unwrap();
    assert_refused(&folder, &["backup"]);
}

#[test]
fn the_database_of_another_program_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    sql(&folder, "CREATE TABLE places (url TEXT); INSERT INTO places VALUES ('https://example.com')");
    assert_refused(&folder, &["not one of this server"]);
}

#[tokio::test]
async fn the_database_of_a_newer_version_is_refused() {
    for component in ["storage", "tokenserver", "engine"] {
        let folder = used().await;
        let newer = format!("{component}-9999");
        sql(&folder, &format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{newer}')"));
        let before = tables(&folder);
        folder.refusal(&[]).names(&[text(&folder.database()), &newer, "newer version", component]);
        assert_eq!(tables(&folder), before);
    }
}

#[tokio::test]
async fn an_empty_file_is_a_database_yet_to_be_made() {
    let folder = Folder::new();
    fs::create_dir(folder.data()).unwrap();
    fs::write(folder.database(), "").unwrap();
    let server = folder.start();
    server.user(1).await.keep("a", "b").await;
    server.stop();
}

#[tokio::test]
async fn a_server_that_stopped_leaves_one_file_that_can_be_copied() {
    let folder = used().await;
    let files: Vec<_> = fs::read_dir(folder.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["sync.db"]);
    let copy = Folder::new();
    fs::create_dir(copy.data()).unwrap();
    fs::copy(folder.database(), copy.database()).unwrap();
    let server = copy.start();
    assert_eq!(server.user(1).await.kept("7").await, "x".repeat(10_000));
}
