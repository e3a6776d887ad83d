//! Batches, where the conformance suite does not look.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncstorage_db_common::testing::{Backend, TestDb, change};
use syncstorage_db_common::{DbError, DbOptions, Precondition};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};

async fn open(options: DbOptions) -> TestDb {
    let location = SqliteLocation::Temporary;
    let engine = SqliteEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap();
    Arc::new(SqliteDb::new(engine, options)).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_too_large_counts_before_no_time_to_write_at() {
    let fixture = Backend::new(open).with_batch_limits(2, 100).await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("a")]).await;
    // The clock stands still: this drives the store as far ahead of it as a store may be.
    for _ in 0..201 {
        user.put("c", change("a")).await;
    }
    let refused = user.try_put("c", change("a"), Precondition::None).await;
    assert!(matches!(refused, Err(DbError::Fault(_))), "there is no time to write at, but {refused:?}");
    let refused = user.try_commit("c", &batch, vec![change("b"), change("d")]).await;
    assert!(matches!(refused, Err(DbError::BatchTooLarge)), "{refused:?}");
    fixture.clock.advance(10_000);
    user.commit("c", &batch, vec![change("b")]).await;
    assert_eq!(user.ids("c").await, ["a", "b"]);
}
