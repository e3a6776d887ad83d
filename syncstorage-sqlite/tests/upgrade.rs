//! A file that an earlier version made.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;

use diesel::Connection;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::EmbeddedMigrations;
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, sql};
use syncstorage_db_common::testing::TestUser;
use syncstorage_db_common::{BsoQuery, DbOptions, Sort, UserId};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};
use tempfile::TempDir;

fn open(path: &Path, components: Vec<(&str, EmbeddedMigrations)>) -> Arc<SqliteEngine> {
    SqliteEngine::open(&SqliteLocation::File(path.into()), EngineOptions::default(), components).unwrap()
}

fn schema(path: &Path) -> Vec<(String, String)> {
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sql::<(Text, Text)>("SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name").rows(&mut conn).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_schema_becomes_what_a_new_file_has_and_keeps_its_records() {
    let folder = TempDir::new().unwrap();
    let [old, new] = ["old.db", "new.db"].map(|name| folder.path().join(name));
    drop(open(&old, Vec::new()));
    let mut conn = SqliteConnection::establish(old.to_str().unwrap()).unwrap();
    conn.batch_execute(include_str!("../migrations/storage-0001_tables/up.sql")).unwrap();
    conn.batch_execute(
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('storage0001');
         INSERT INTO stores VALUES (7, 1000);
         INSERT INTO user_collections VALUES (7, 1, 1000, 3, 0);
         INSERT INTO bsos (user_id, collection_id, id, modified, sortindex, payload_size, payload) VALUES
            (7, 1, 'none', 1000, NULL, 0, ''), (7, 1, 'low', 1000, -5, 0, ''), (7, 1, 'high', 1000, 5, 0, '')",
    )
    .unwrap();
    drop(conn);
    let engine = open(&old, vec![(COMPONENT, MIGRATIONS)]);
    drop(open(&new, vec![(COMPONENT, MIGRATIONS)]));
    assert_eq!(schema(&old), schema(&new));
    let user = TestUser { db: Arc::new(SqliteDb::new(engine, DbOptions::default())), id: UserId::try_from(7).unwrap() };
    let query = BsoQuery { sort: Sort::Index, limit: Some(2), ..BsoQuery::default() };
    let first = user.read("clients", &query).await;
    let rest = user.read("clients", &BsoQuery { after: first.next, ..query }).await;
    let ids: Vec<String> = first.bsos.iter().chain(&rest.bsos).map(|bso| bso.id.to_string()).collect();
    assert_eq!(ids, ["high", "low", "none"]);
}
