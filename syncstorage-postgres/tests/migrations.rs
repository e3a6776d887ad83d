//! However a database came to its tables, they end up the same.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::{ManualClock, TestUser};
use testdb::Database;

const DEPLOYMENT: &str = include_str!("common/deployment.sql");

/// The migrations in order, as the folders have them.
const STEPS: [(&str, &str); 6] = [
    ("storage-0001", include_str!("../migrations/storage-0001_tables/up.sql")),
    ("storage-0002", include_str!("../migrations/storage-0002_sortindex_resets/up.sql")),
    ("storage-0003", include_str!("../migrations/storage-0003_byte_order/up.sql")),
    ("storage-0004", include_str!("../migrations/storage-0004_pages/up.sql")),
    ("storage-0005", include_str!("../migrations/storage-0005_writing/up.sql")),
    ("storage-0006", include_str!("../migrations/storage-0006_staging_and_deleting/up.sql")),
];

/// All that makes a schema: columns, indexes, constraints, functions, types.
const SCHEMA: [&str; 5] = [
    "SELECT table_name, column_name, data_type, character_maximum_length::text, is_nullable, is_identity,
         identity_generation, column_default, collation_name
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%'
     ORDER BY 1, ordinal_position",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%' ORDER BY 1",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE '\\_\\_%' ORDER BY 1, 2",
    "SELECT proname, md5(pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     ORDER BY 1, 2",
    "SELECT version FROM syncserver_schema ORDER BY 1",
];

fn schema(database: &Database) -> Vec<Vec<Option<String>>> {
    SCHEMA.iter().flat_map(|query| database.query(query)).collect()
}

async fn fresh() -> Database {
    let database = testdb::postgres();
    common::engine(database.url()).await;
    database
}

#[tokio::test]
async fn every_step_on_the_way_ends_in_the_schema_of_a_fresh_database() {
    let expected = schema(&fresh().await);
    assert!(expected.len() > 50, "{expected:?}");
    for filled in [false, true] {
        for done in 0..=STEPS.len() {
            let database = testdb::postgres();
            if filled {
                database.execute(DEPLOYMENT);
            }
            database.execute(
                "CREATE TABLE syncserver_schema (
                version varchar(100) NOT NULL PRIMARY KEY, run_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
            );
            for (version, up) in &STEPS[..done] {
                database.execute(&format!("BEGIN; {up} COMMIT"));
                database.execute(&format!("INSERT INTO syncserver_schema (version) VALUES ('{version}')"));
            }
            let clock = ManualClock::default();
            let options = DbOptions { clock: clock.clock(), ..DbOptions::default() };
            let db = common::open_at(&database, options).await;
            assert_eq!(schema(&database), expected, "from step {done}, filled: {filled}");
            if filled {
                let user = TestUser { db, id: 5.try_into().unwrap() };
                assert_eq!(user.ids("bookmarks").await, ["Menu", "menu"], "from step {done}");
            }
            let next = database.query("SELECT nextval(pg_get_serial_sequence('collections', 'collection_id'))");
            assert_eq!(next, [[Some(if filled { "103" } else { "101" }.to_owned())]], "from step {done}");
        }
    }
}

/// One does it, and the others find it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_make_the_tables_once() {
    let expected = schema(&fresh().await);
    let database = testdb::postgres();
    let starts: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url().to_owned();
            tokio::spawn(async move { common::engine(&url).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap();
    }
    assert_eq!(schema(&database), expected);
}

/// What a rollback of the program leaves to the server before it: its own tables.
#[tokio::test]
async fn going_back_gives_the_tables_of_the_other_servers() {
    let database = fresh().await;
    for down in [
        include_str!("../migrations/storage-0006_staging_and_deleting/down.sql"),
        include_str!("../migrations/storage-0005_writing/down.sql"),
        include_str!("../migrations/storage-0004_pages/down.sql"),
        include_str!("../migrations/storage-0003_byte_order/down.sql"),
        include_str!("../migrations/storage-0002_sortindex_resets/down.sql"),
    ] {
        database.execute(down);
    }
    let other = testdb::postgres();
    other.execute(DEPLOYMENT);
    for query in &SCHEMA[..4] {
        let ours = |row: &Vec<Option<String>>| !row.iter().flatten().any(|value| value.contains("syncserver_"));
        let seen: Vec<_> = database.query(query).into_iter().filter(ours).collect();
        assert_eq!(seen, other.query(query), "{query}");
    }
}
