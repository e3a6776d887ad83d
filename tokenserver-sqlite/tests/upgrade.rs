//! A file that an earlier version made.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, SqliteConnection};
use diesel_migrations::EmbeddedMigrations;
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, sql};
use tempfile::TempDir;
use tokenserver_db_common::{Account, SignIn, TokenAdmin, TokenDb, UserFilter};
use tokenserver_sqlite::{COMPONENT, MIGRATIONS, SqliteTokenDb};

fn open(path: &Path, components: Vec<(&str, EmbeddedMigrations)>) -> Arc<SqliteEngine> {
    SqliteEngine::open(&SqliteLocation::File(path.into()), EngineOptions::default(), components).unwrap()
}

fn schema(path: &Path) -> Vec<(String, String)> {
    let mut conn = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    sql::<(Text, Text)>("SELECT name, ifnull(sql, '') FROM sqlite_schema ORDER BY name").rows(&mut conn).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_schema_becomes_what_a_new_file_has_and_keeps_its_users() {
    let folder = TempDir::new().unwrap();
    let [old, new] = ["old.db", "new.db"].map(|name| folder.path().join(name));
    drop(open(&old, Vec::new()));
    let mut conn = SqliteConnection::establish(old.to_str().unwrap()).unwrap();
    conn.batch_execute(include_str!("../migrations/tokenserver-0001_tables/up.sql")).unwrap();
    conn.batch_execute(
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('tokenserver0001');
         INSERT INTO users VALUES (7, 1, 'a@x', 10, 'aa', 1600000000000, NULL, 0, 5)",
    )
    .unwrap();
    drop(conn);
    let db = SqliteTokenDb::new(open(&old, vec![(COMPONENT, MIGRATIONS)]));
    drop(open(&new, vec![(COMPONENT, MIGRATIONS)]));
    assert_eq!(schema(&old), schema(&new));
    let account = Account::new("a@x", Some(10), Some(5), "aa").unwrap();
    let request = SignIn { account, policy: Arc::default(), now_ms: 1_700_000_000_000 };
    let answer = db.sign_in(&request).await.unwrap();
    assert_eq!((answer.uid.get(), answer.created), (7, false));
    let users = db.users(&UserFilter::Current, None, 10).await.unwrap();
    assert_eq!((users.len(), users[0].devices, users[0].verdict), (1, 0, None));
}
