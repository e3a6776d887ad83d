//! From databases of syncstorage-rs, which are only read.

use syncserver::archive::Item;
use syncserver::archive::copy::Stop;
use syncserver::backend::{self, Whole};
use syncstorage_db_common::testing::{ManualClock, TestUser};
use syncstorage_db_common::{StoredBso, StoredItem, UserId};
use testdb::Database;
use tokenserver_db_common::{Numbers, TokenItem};

use crate::{Place, backup, items};

const NOW: i64 = ManualClock::START_MS;

/// As `syncserver import` does it.
pub(crate) async fn import(target: &Place, from: &str, tokens_from: Option<&str>, now_ms: i64) {
    let settings = target.settings();
    let sources = backend::sources(&settings, from, tokens_from).await.unwrap();
    let whole = Whole::open(&settings).await.unwrap();
    assert!(whole.targets.are_empty().await.unwrap());
    let stop = Stop::default();
    whole.targets.fill(move |sink| sources.dump_here(now_ms, sink), &stop, |_| {}).await.unwrap();
    assert!(!whole.targets.are_empty().await.unwrap());
}

pub(crate) async fn imported(target: &Place, now_ms: i64) -> Vec<u8> {
    let whole = Whole::attach(&target.settings()).await.unwrap();
    backup(&whole.targets.sources(), now_ms).await
}

/// A user's row, as far as the tests look at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) uid: i64,
    pub(crate) email: String,
    pub(crate) client_state: String,
    pub(crate) replaced: bool,
    pub(crate) nodeid: i64,
    pub(crate) keys_changed_at: Option<i64>,
}

pub(crate) fn users(items: &[Item]) -> Vec<Seen> {
    let rows = items.iter().filter_map(|item| match item {
        Item::Token(TokenItem::User(user)) => Some(Seen {
            uid: user.uid,
            email: user.email.clone(),
            client_state: user.client_state.clone(),
            replaced: user.replaced_at.is_some(),
            nodeid: user.nodeid,
            keys_changed_at: user.keys_changed_at,
        }),
        _ => None,
    });
    rows.collect()
}

/// (user, collection, id, sortindex, payload, ms left)
type Record = (i64, String, String, Option<i32>, String, Option<i64>);

fn records(items: &[Item]) -> Vec<Record> {
    let bsos = items.iter().filter_map(|item| match item {
        Item::Storage(StoredItem::Bso(StoredBso { at, bso, expiry })) => Some((
            at.user.get(),
            at.collection.to_string(),
            bso.id.to_string(),
            bso.sortindex,
            bso.payload.clone(),
            expiry.map(|expiry| expiry - NOW),
        )),
        _ => None,
    });
    bsos.collect()
}

fn record(user: i64, collection: &str, id: &str, sortindex: Option<i32>, payload: &str, left: Option<i64>) -> Record {
    (user, collection.to_owned(), id.to_owned(), sortindex, payload.to_owned(), left)
}

fn times(items: &[Item]) -> Vec<(i64, String, i64)> {
    let times = items.iter().filter_map(|item| match item {
        Item::Storage(StoredItem::Store { user, modified }) => {
            Some((user.get(), String::new(), modified.as_ms() - NOW))
        }
        Item::Storage(StoredItem::Collection { at, modified }) => {
            Some((at.user.get(), at.collection.to_string(), modified.as_ms() - NOW))
        }
        _ => None,
    });
    times.collect()
}

/// All tables with their columns, and the numbers of rows of some. `schema`: how the database calls the one in use.
fn shape(database: &Database, schema: &str, tables: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut shape = database.query(&format!(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = {schema}
         ORDER BY table_name, ordinal_position"
    ));
    for table in tables {
        shape.extend(database.query(&format!("SELECT count(*) FROM {table}")));
    }
    shape
}

async fn user(target: &Place, id: i64) -> TestUser {
    let clock = ManualClock::default();
    let opened = backend::open(&target.settings(), clock.clock()).await.unwrap();
    TestUser { db: opened.storage, id: UserId::try_from(id).unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_on_mysql_is_imported() {
    const WRITTEN: i64 = NOW - 120_000;
    let never = WRITTEN + 2_100_000_000_000;
    let (old, tokens) = (testdb::mysql(), testdb::mysql());
    old.execute(include_str!("../../../syncstorage-mysql/tests/common/deployment.sql"));
    old.execute(&format!(
        "INSERT INTO bso VALUES
            (7, 7, 'menu', 5, '{{\"ciphertext\":\"a\"}}', 18, {WRITTEN}, {never}),
            (7, 7, 'no-size', NULL, 'twelve bytes', 0, {WRITTEN}, {never}),
            (7, 7, 'short', NULL, 'x', 1, {WRITTEN}, {NOW} + 1000),
            (7, 7, 'expired', NULL, 'x', 1, {WRITTEN}, {NOW}),
            (7, 117, 'latin', 0, CONVERT(0xE9 USING latin1), 1, {WRITTEN}, {never}),
            (8, 7, 'menu', -1, '', 0, {WRITTEN}, {never});
        INSERT INTO user_collections VALUES
            (7, 7, {WRITTEN}, NULL, NULL), (7, 117, {WRITTEN} - 10, 1, 1), (7, 6, {WRITTEN} - 20, 0, 0),
            (8, 7, {WRITTEN}, 12, 1), (8, 0, {WRITTEN} + 500, NULL, NULL), (9, 0, {WRITTEN}, NULL, NULL);
        INSERT INTO batch_uploads VALUES ({WRITTEN}, 7, 7);
        INSERT INTO batch_upload_items VALUES ({WRITTEN}, 7, 'staged', NULL, 'x', 1, NULL)"
    ));
    tokens.execute(include_str!("../../../tokenserver-mysql/tests/deployment.sql"));
    let storage_tables = ["bso", "user_collections", "collections", "batch_uploads"];
    let before =
        (shape(&old, "DATABASE()", &storage_tables), shape(&tokens, "DATABASE()", &["users", "nodes", "services"]));
    for target in [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        import(&target, old.url(), Some(tokens.url()), NOW).await;
        let found = items(&imported(&target, NOW).await);
        let expected = [
            record(7, "bookmarks", "menu", Some(5), "{\"ciphertext\":\"a\"}", None),
            record(7, "bookmarks", "no-size", None, "twelve bytes", None),
            record(7, "bookmarks", "short", None, "x", Some(1000)),
            record(7, "extension-storage", "latin", Some(0), "é", None),
            record(8, "bookmarks", "menu", Some(-1), "", None),
        ];
        assert_eq!(records(&found), expected, "{}", target.url());
        let at = |user, name: &str, ms| (user, name.to_owned(), ms);
        let expected = [
            at(7, "", -120_000),
            at(7, "bookmarks", -120_000),
            at(7, "extension-storage", -120_010),
            at(7, "meta", -120_020),
            at(8, "", -119_500),
            at(8, "bookmarks", -120_000),
            at(9, "", -120_000),
        ];
        assert_eq!(times(&found), expected, "{}", target.url());
        // Those of another service stay where they are.
        let uids: Vec<_> = users(&found).into_iter().map(|user| (user.uid, user.nodeid, user.replaced)).collect();
        assert_eq!(uids, [(41, 10, true), (42, 11, false), (43, 10, true)]);
        assert!(found.contains(&Item::Token(TokenItem::Numbers(Numbers { uid: 4999, node: 11 }))));
        // The sums that were missing are there.
        let mut usage = user(&target, 7).await.usage().await;
        usage.sort();
        assert_eq!(usage, [("bookmarks".to_owned(), 31), ("extension-storage".to_owned(), 2)]);
    }
    let after =
        (shape(&old, "DATABASE()", &storage_tables), shape(&tokens, "DATABASE()", &["users", "nodes", "services"]));
    assert_eq!(after, before, "it is only read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_on_postgres_is_imported() {
    let (old, tokens) = (testdb::postgres(), testdb::postgres());
    old.execute(include_str!("../../../syncstorage-postgres/tests/common/deployment.sql"));
    tokens.execute(include_str!("../../../tokenserver-postgres/tests/deployment.sql"));
    let storage_tables = ["bsos", "user_collections", "collections", "batches"];
    let before = (
        shape(&old, "current_schema()", &storage_tables),
        shape(&tokens, "current_schema()", &["users", "nodes", "services"]),
    );
    for target in [Place::sqlite(), Place::on(testdb::mysql()), Place::on(testdb::postgres())] {
        import(&target, old.url(), Some(tokens.url()), NOW).await;
        let found = items(&imported(&target, NOW).await);
        let expected = [
            record(5, "bookmarks", "Menu", None, "other", None),
            record(5, "bookmarks", "menu", Some(5), "émenu", None),
            record(5, "crypto", "keys", None, "{\"ciphertext\":\"k\"}", None),
            record(5, "extension-storage", "x", None, "text", None),
            record(5, "history", "later", Some(1), "stays", Some(86_400_000 - 2_600_000)),
        ];
        assert_eq!(records(&found), expected, "{}", target.url());
        let names: Vec<_> = times(&found).into_iter().map(|(user, name, _)| (user, name)).collect();
        let at = |user, name: &str| (user, name.to_owned());
        let expected = [
            at(5, ""),
            at(5, "bookmarks"),
            at(5, "crypto"),
            at(5, "extension-storage"),
            at(5, "history"),
            at(6, ""),
            at(7, ""),
            at(7, "clients"),
        ];
        assert_eq!(names, expected, "a row that is there for a batch is no collection");
        let uids: Vec<_> = users(&found).into_iter().map(|user| (user.uid, user.email, user.nodeid)).collect();
        let user = |uid, email: &str| (uid, email.to_owned(), 3);
        assert_eq!(uids, [user(11, "a@x"), user(12, "a@x"), user(13, "B@x")]);
        assert!(found.contains(&Item::Token(TokenItem::Numbers(Numbers { uid: 13, node: 4 }))));
    }
    let after = (
        shape(&old, "current_schema()", &storage_tables),
        shape(&tokens, "current_schema()", &["users", "nodes", "services"]),
    );
    assert_eq!(after, before, "it is only read");
}

/// What is asked for and is not there.
#[tokio::test]
async fn a_database_that_is_no_source_gets_a_sentence() {
    let target = Place::sqlite();
    let refused = |from: String, tokens_from: Option<String>| {
        let settings = target.settings();
        async move {
            let sources = backend::sources(&settings, &from, tokens_from.as_deref()).await;
            sources.err().unwrap().to_string()
        }
    };
    let (empty_file, postgres, mysql) = (Place::sqlite(), testdb::postgres(), testdb::mysql());
    std::fs::write(empty_file.file(), "").unwrap();
    let missing = Place::sqlite();
    for url in [empty_file.url(), postgres.url().to_owned(), mysql.url().to_owned()] {
        let says = refused(url, None).await;
        assert!(says.contains("has no tables of a Sync server's storage"), "{says}");
        assert!(!says.contains("secret") && !says.contains("password="), "{says}");
    }
    assert!(refused(missing.url(), None).await.contains("there is no file"));
    assert!(refused("oracle://u:pass-word@h/d".to_owned(), None).await.contains("--from must be the path"));
    assert!(!refused("oracle://u:pass-word@h/d".to_owned(), None).await.contains("pass-word"));
    assert!(refused(target.url(), None).await.contains("is the database of the settings"));
    let old = testdb::mysql();
    old.execute(include_str!("../../../syncstorage-mysql/tests/common/deployment.sql"));
    let says = refused(old.url().to_owned(), Some(mysql.url().to_owned())).await;
    assert!(says.contains("users (table users)"), "{says}");
}
