//! From the old Sync server in Python: its SQLite file, and its database on MySQL.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, SqliteConnection};
use syncserver::archive::Item;
use syncstorage_db_common::testing::ManualClock;
use syncstorage_db_common::{StoredBso, StoredItem};
use tokenserver_db_common::{Numbers, TokenItem};

use crate::imports::{Seen, import, imported, users};
use crate::{Place, items, text};

const STORAGE: &str = include_str!("python_storage.sql");

/// Of `syncserver/staticnode.py`, at its last.
const USERS: &str = "
    CREATE TABLE users (
        uid INTEGER NOT NULL, service VARCHAR(32) NOT NULL, email VARCHAR(255) NOT NULL, generation BIGINT NOT NULL,
        client_state VARCHAR(32) NOT NULL, created_at BIGINT NOT NULL, replaced_at BIGINT, keys_changed_at BIGINT,
        node VARCHAR(255), PRIMARY KEY (uid)
    );
    CREATE INDEX lookup_idx ON users (email, service, created_at);
    INSERT INTO users VALUES
        (1, 'sync-1.5', 'aa@x', 9, 'aa', 1600000000000, NULL, 5, 'https://old.example'),
        (2, 'sync-1.5', 'bb@x', 9, 'aa', 1600000000000, 1650000000000, NULL, 'https://old.example'),
        (3, 'sync-1.5', 'bb@x', 10, 'bb', 1650000000000, NULL, NULL, NULL),
        (4, 'other-1.0', 'bb@x', 10, 'bb', 1650000000000, NULL, NULL, NULL);";

/// The same, before it knew of keys_changed_at.
const EARLY_USERS: &str = "
    CREATE TABLE users (
        uid INTEGER NOT NULL, service VARCHAR(32) NOT NULL, email VARCHAR(255) NOT NULL, generation BIGINT NOT NULL,
        client_state VARCHAR(32) NOT NULL, created_at BIGINT NOT NULL, replaced_at BIGINT, PRIMARY KEY (uid)
    );
    INSERT INTO users VALUES (1, 'sync-1.5', 'aa@x', 9, 'aa', 1600000000000, NULL);";

/// Of `tokenserver/assignment/sqlnode/schemas.py`, before users had a `nodeid`.
const NODES_AND_USERS: &str = "
    CREATE TABLE services (id INTEGER NOT NULL, service VARCHAR(30), pattern VARCHAR(128), PRIMARY KEY (id));
    CREATE TABLE nodes (
        id BIGINT NOT NULL, service INTEGER NOT NULL, node VARCHAR(64) NOT NULL, available INTEGER NOT NULL,
        current_load INTEGER NOT NULL, capacity INTEGER NOT NULL, downed INTEGER NOT NULL, backoff INTEGER NOT NULL,
        PRIMARY KEY (id)
    );
    CREATE TABLE users (
        uid BIGINT NOT NULL, service INTEGER NOT NULL, email VARCHAR(255) NOT NULL, node VARCHAR(64) NOT NULL,
        generation BIGINT NOT NULL, client_state VARCHAR(32) NOT NULL, created_at BIGINT NOT NULL, replaced_at BIGINT,
        PRIMARY KEY (uid)
    );
    INSERT INTO services VALUES (4, 'sync-1.5', '{node}/1.5/{uid}');
    INSERT INTO nodes VALUES (8, 4, 'https://n8', 1, 2, 3, 0, 0), (9, 4, 'https://n9', 1, 2, 3, 0, 0);
    INSERT INTO users VALUES
        (1, 4, 'aa@x', 'https://n9', 9, 'aa', 1600000000000, NULL),
        (2, 4, 'bb@x', 'https://gone', 9, 'aa', 1600000000000, NULL);";

fn make(path: &Path, statements: &[&str]) {
    let mut file = SqliteConnection::establish(text(path)).unwrap();
    for statements in statements {
        file.batch_execute(statements).unwrap();
    }
}

/// What the storage's fixture holds, at the time of the tests.
fn assert_storage(found: &[Item]) {
    let of = |user: i64| {
        let bsos = found.iter().filter_map(|item| match item {
            Item::Storage(StoredItem::Bso(StoredBso { at, bso, expiry })) if at.user.get() == user => Some((
                at.collection.to_string(),
                bso.id.to_string(),
                bso.modified.as_ms() - 1_699_999_000_000,
                bso.sortindex,
                bso.payload.clone(),
                *expiry,
            )),
            _ => None,
        });
        bsos.collect::<Vec<_>>()
    };
    let record = |collection: &str, id: &str, ms, sortindex, payload: &str, expiry| {
        (collection.to_owned(), id.to_owned(), ms, sortindex, payload.to_owned(), expiry)
    };
    let expected = [
        record("bookmarks", "Ab-_", 900_570, Some(140), "{\"ciphertext\":\"é🦊\"}", None),
        record("bookmarks", "ab-_", 900_450, Some(0), "", None),
        record("bookmarks", "soon", 900_450, None, "x", Some(1_700_000_001_000)),
        record("meta", "global", 10, None, "{\"syncID\":\"x\"}", None),
    ];
    assert_eq!(of(1), expected);
    let expected = [record("bookmarks", "menu", 700_990, Some(-5), "of another user", Some(1_800_000_000_000))];
    assert_eq!(of(2), expected);
    let others = found.iter().filter_map(|item| match item {
        Item::Storage(StoredItem::Store { user, modified }) => Some((user.to_string(), modified.as_ms())),
        Item::Storage(StoredItem::Collection { at, modified }) => Some((at.collection.to_string(), modified.as_ms())),
        _ => None,
    });
    let at = |name: &str, ms| (name.to_owned(), ms);
    let expected = [
        at("1", 1_699_999_900_570),
        at("bookmarks", 1_699_999_900_570),
        at("meta", 1_699_999_000_010),
        at("my-own", 1_699_999_800_000),
        at("2", 1_699_999_700_990),
        at("bookmarks", 1_699_999_700_990),
    ];
    assert_eq!(others.collect::<Vec<_>>(), expected);
}

const NOW: i64 = ManualClock::START_MS;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_of_the_python_server_is_imported_and_left_as_it_was() {
    for target in [Place::sqlite(), Place::on(testdb::postgres()), Place::on(testdb::mysql())] {
        let old = Place::sqlite();
        make(&old.file(), &[STORAGE, USERS]);
        let before = std::fs::read(old.file()).unwrap();
        import(&target, &old.url(), None, NOW).await;
        let found = items(&imported(&target, NOW).await);
        assert_storage(&found);
        let user = |uid, email: &str, state: &str, replaced, keys| Seen {
            uid,
            email: email.to_owned(),
            client_state: state.to_owned(),
            replaced,
            nodeid: 0,
            keys_changed_at: keys,
        };
        let expected = [
            user(1, "aa@x", "aa", false, Some(5)),
            user(2, "bb@x", "aa", true, None),
            user(3, "bb@x", "bb", false, None),
        ];
        assert_eq!(users(&found), expected);
        assert!(std::fs::read(old.file()).unwrap() == before, "the old file has changed");
    }
}

/// Where the last user was removed, SQLite forgets the number; the storage may still be there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_only_the_storage_knows_is_given_to_nobody() {
    let old = Place::sqlite();
    make(&old.file(), &[STORAGE, EARLY_USERS]);
    let target = Place::sqlite();
    import(&target, &old.url(), None, NOW).await;
    let found = items(&imported(&target, NOW).await);
    assert!(found.contains(&Item::Token(TokenItem::Numbers(Numbers { uid: 2, node: 0 }))), "{found:?}");
    assert_eq!(users(&found).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_and_nodes_may_be_in_a_file_of_their_own() {
    let (old, tokens) = (Place::sqlite(), Place::sqlite());
    make(&old.file(), &[STORAGE]);
    make(&tokens.file(), &[NODES_AND_USERS]);
    let target = Place::sqlite();
    import(&target, &old.url(), Some(&tokens.url()), NOW).await;
    let found = items(&imported(&target, NOW).await);
    assert_storage(&found);
    let nodes: Vec<_> = users(&found).into_iter().map(|user| (user.uid, user.nodeid)).collect();
    assert_eq!(nodes, [(1, 9), (2, 0)]);
    let node = |item: &&Item| matches!(item, Item::Token(TokenItem::Node(_)));
    assert_eq!(found.iter().filter(node).count(), 2);
}

/// The fixed numbers of common names, which have no row then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_were_built_in_are_known() {
    let old = Place::sqlite();
    make(
        &old.file(),
        &[
            STORAGE,
            EARLY_USERS,
            "DELETE FROM collections; INSERT INTO collections VALUES (100, 'my-own');
         UPDATE bso SET collection = CASE collection WHEN 1 THEN 6 WHEN 2 THEN 7 END;
         UPDATE user_collections SET collection = CASE collection WHEN 1 THEN 6 WHEN 2 THEN 7 ELSE 100 END;",
        ],
    );
    let target = Place::sqlite();
    import(&target, &old.url(), None, NOW).await;
    assert_storage(&items(&imported(&target, NOW).await));
}

/// There the columns are the same but for the types.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_database_on_mysql_is_imported() {
    let old = testdb::mysql();
    old.execute(&STORAGE.replace("payload TEXT", "payload MEDIUMTEXT CHARACTER SET utf8mb4").replace(
        "id VARCHAR(64) NOT NULL, sortindex INTEGER,\n    modified",
        "id VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_bin NOT NULL, sortindex INTEGER,\n    modified",
    ));
    old.execute(USERS);
    let target = Place::sqlite();
    import(&target, old.url(), None, NOW).await;
    let found = items(&imported(&target, NOW).await);
    assert_storage(&found);
    let found: Vec<_> = users(&found).into_iter().map(|user| (user.uid, user.nodeid, user.keys_changed_at)).collect();
    assert_eq!(found, [(1, 0, Some(5)), (2, 0, None), (3, 0, None)]);
}
