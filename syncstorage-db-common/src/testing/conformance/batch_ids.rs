//! Which batch ids are good, for whom, and for how long.

use crate::testing::user::assert_is;
use crate::testing::{Backend, TestUser, change};
use crate::{BATCH_LIFETIME_MS, BatchId, DbError};

/// Neither an append nor a commit finds the batch, and neither leaves a trace.
async fn assert_not_found(user: &TestUser, collection: &str, batch: &BatchId) {
    let before = user.everything().await;
    for changes in [vec![change("x")], Vec::new()] {
        let appended = user.try_append(collection, batch, changes.clone()).await;
        assert_is!(appended, Err(DbError::BatchNotFound), "{batch:?}");
        let committed = user.try_commit(collection, batch, changes).await;
        assert_is!(committed, Err(DbError::BatchNotFound), "{batch:?}");
    }
    assert_eq!(user.everything().await, before, "{batch:?}");
}

/// Its records are written once.
pub async fn a_committed_batch_is_not_found(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("a")]).await;
    user.commit("c", &batch, Vec::new()).await;
    assert_not_found(&user, "c", &batch).await;
    user.delete_bso("c", "a").await;
    assert_not_found(&user, "c", &batch).await;
}

/// And the other user's batch is not harmed by the attempt.
pub async fn the_batch_of_another_user_is_not_found(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (user, stranger) = (fixture.user(), fixture.user());
    let batch = user.create_batch("c", vec![change("a")]).await;
    assert_not_found(&stranger, "c", &batch).await;
    stranger.create_batch("c", vec![change("b")]).await;
    assert_not_found(&stranger, "c", &batch).await;
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.ids("c").await, ["a"]);
}

/// Nor is the batch harmed by that.
pub async fn the_batch_of_another_collection_is_not_found(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("there", change("a")).await;
    let batch = user.create_batch("c", vec![change("a")]).await;
    for other in ["there", "absent", "C"] {
        assert_not_found(&user, other, &batch).await;
    }
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.ids("c").await, ["a"]);
}

/// A client may send anything: it is not found, never an error of the database.
pub async fn a_made_up_batch_id_is_not_found(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let real = user.create_batch("c", vec![change("a")]).await;
    let long = "9".repeat(10_000);
    let texts = [
        "",
        " ",
        "0",
        "1",
        "-1",
        "true",
        "null",
        "9223372036854775807",
        "9223372036854775808",
        "99999999999999999999999999999999",
        "1700000000000",
        "MTcwMDAwMDAwMDAwMA==",
        "MTcwMDAwMDAwMDAwMA",
        "====",
        "00000000-0000-0000-0000-000000000000",
        "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "'; DELETE FROM bso; --",
        "%",
        "🦊",
        "é",
        "\0",
        "\u{1}\n\t",
        &long,
        &format!("{} ", real.0),
        &format!(" {}", real.0),
        &format!("{}x", real.0),
    ];
    for text in texts {
        assert_not_found(&user, "c", &BatchId(text.to_owned())).await;
    }
    user.commit("c", &real, Vec::new()).await;
    assert_eq!(user.ids("c").await, ["a"]);
}

/// Two hours from its opening, which an append does not prolong.
pub async fn a_batch_is_found_for_two_hours(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let opened = fixture.clock.now_ms();
    let committed = user.create_batch("c", vec![change("a")]).await;
    let stale = user.create_batch("c", vec![change("b")]).await;
    fixture.clock.set(opened + BATCH_LIFETIME_MS - 1);
    user.append("c", &stale, vec![change("b2")]).await;
    fixture.clock.set(opened + BATCH_LIFETIME_MS);
    user.append("c", &stale, vec![change("b3")]).await;
    user.commit("c", &committed, Vec::new()).await;
    fixture.clock.set(opened + BATCH_LIFETIME_MS + 1);
    assert_not_found(&user, "c", &stale).await;
    fixture.clock.advance(1_000_000_000);
    assert_not_found(&user, "c", &stale).await;
    assert_eq!(user.ids("c").await, ["a"]);
}

/// A new batch of the same collection is none the worse for it.
pub async fn a_stale_batch_leaves_nothing_to_the_next_one(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let stale = user.create_batch("c", vec![change("a"), change("b")]).await;
    fixture.clock.advance(BATCH_LIFETIME_MS + 1);
    let batch = user.create_batch("c", vec![change("b"), change("c")]).await;
    assert_ne!(batch, stale);
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.ids("c").await, ["b", "c"]);
    assert_not_found(&user, "c", &stale).await;
}
