//! What a batch may hold in all: counted on what it really holds, whatever was announced.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, change};
use crate::{BsoChange, DbError, Precondition};

fn records(range: std::ops::Range<usize>) -> Vec<BsoChange> {
    range.map(|n| change(&format!("r{n}"))).collect()
}

fn text(id: &str, bytes: usize) -> BsoChange {
    change(id).payload("x".repeat(bytes))
}

/// A batch is not opened with more than it may hold.
pub async fn a_batch_is_not_opened_over_the_limits(backend: &Backend) {
    let fixture = backend.with_batch_limits(5, 100).await;
    let user = fixture.user();
    let at = user.at("c");
    for too_much in [records(0..6), vec![text("a", 101)], vec![text("a", 60), text("b", 41)]] {
        let refused = user.db.create_batch(&at, too_much, Precondition::None).await;
        assert_is!(refused, Err(DbError::BatchTooLarge));
    }
    for just_enough in [records(0..5), vec![text("a", 100)], vec![text("a", 60), text("b", 40)]] {
        let batch = user.create_batch("c", just_enough).await;
        user.commit("c", &batch, Vec::new()).await;
    }
}

/// A refused append leaves the batch as it was: none of its records are in it.
pub async fn an_append_over_the_limits_leaves_the_batch_as_it_was(backend: &Backend) {
    let fixture = backend.with_batch_limits(5, 100).await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![text("a", 50), change("b")]).await;
    user.append("c", &batch, vec![text("c", 40)]).await;
    for too_much in [
        vec![change("d"), change("e"), change("f")],
        vec![text("d", 11)],
        vec![text("a", 61)],
        vec![change("b").sortindex(1), text("c", 51)],
    ] {
        assert_is!(user.try_append("c", &batch, too_much).await, Err(DbError::BatchTooLarge));
    }
    user.append("c", &batch, vec![text("d", 10), change("e")]).await;
    assert_is!(user.try_append("c", &batch, vec![change("f")]).await, Err(DbError::BatchTooLarge));
    user.commit("c", &batch, Vec::new()).await;
    let seen: Vec<_> = user.all("c").await.into_iter().map(|bso| (bso.payload.len(), bso.sortindex)).collect();
    assert_eq!(seen, [(50, None), (0, None), (40, None), (10, None), (0, None)]);
}

/// A refused commit writes nothing, and the batch stays as it was.
pub async fn a_commit_over_the_limits_leaves_the_batch_as_it_was(backend: &Backend) {
    let fixture = backend.with_batch_limits(5, 100).await;
    let user = fixture.user();
    user.put("c", change("a").payload("stored")).await;
    let before = user.everything().await;
    let batch = user.create_batch("c", vec![text("a", 50), change("b"), change("c"), change("d")]).await;
    for too_much in [vec![change("e"), change("f")], vec![text("e", 51)], vec![text("b", 51)]] {
        assert_is!(user.try_commit("c", &batch, too_much).await, Err(DbError::BatchTooLarge));
        assert_eq!(user.everything().await, before);
    }
    user.commit("c", &batch, vec![text("e", 50)]).await;
    assert_eq!(user.usage().await, [("c".to_owned(), 100)]);
    assert_eq!(user.ids("c").await, ["a", "b", "c", "d", "e"]);
    assert_eq!(user.payload("c", "b").await, "");
}

/// One record is one, however often it was sent; its last payload is what it holds.
pub async fn a_record_that_comes_again_counts_once(backend: &Backend) {
    let fixture = backend.with_batch_limits(3, 100).await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![text("a", 90), change("b")]).await;
    for _ in 0..5 {
        user.append("c", &batch, vec![text("a", 90), change("b").sortindex(1)]).await;
    }
    user.append("c", &batch, vec![change("a").sortindex(1), change("c")]).await;
    assert_is!(user.try_append("c", &batch, vec![text("b", 11)]).await, Err(DbError::BatchTooLarge));
    // A smaller payload makes room, and one that is reset holds nothing.
    user.append("c", &batch, vec![text("a", 10), text("b", 90)]).await;
    assert_is!(user.try_append("c", &batch, vec![text("c", 1)]).await, Err(DbError::BatchTooLarge));
    user.append("c", &batch, vec![change("b").null_payload(), text("c", 90)]).await;
    user.commit("c", &batch, vec![text("c", 20), text("b", 70)]).await;
    let seen: Vec<_> = user.all("c").await.into_iter().map(|bso| (bso.id.to_string(), bso.payload.len())).collect();
    assert_eq!(seen, [("a".to_owned(), 10), ("b".to_owned(), 70), ("c".to_owned(), 20)]);
}

/// Bytes as they travel, not characters.
pub async fn a_batch_is_measured_in_bytes(backend: &Backend) {
    let fixture = backend.with_batch_limits(10, 10).await;
    let user = fixture.user();
    let at = user.at("c");
    let refused = user.db.create_batch(&at, vec![change("a").payload("🦊🦊🦊")], Precondition::None).await;
    assert_is!(refused, Err(DbError::BatchTooLarge));
    let batch = user.create_batch("c", vec![change("a").payload("🦊🦊")]).await;
    user.append("c", &batch, vec![change("b").payload("é")]).await;
    assert_is!(user.try_append("c", &batch, vec![change("d").payload("x")]).await, Err(DbError::BatchTooLarge));
    user.commit("c", &batch, Vec::new()).await;
}

/// The limits are of one batch: not of the collection, nor of other batches, nor of a plain POST.
pub async fn the_limits_are_those_of_one_batch(backend: &Backend) {
    let fixture = backend.with_batch_limits(2, 10).await;
    let user = fixture.user();
    user.post("c", (0..20).map(|n| text(&format!("{n}"), 20)).collect()).await;
    let batches = [
        user.create_batch("c", vec![text("a", 10), change("b")]).await,
        user.create_batch("c", vec![text("d", 10), change("e")]).await,
    ];
    for batch in &batches {
        user.commit("c", batch, Vec::new()).await;
    }
    assert_eq!(user.counts().await, [("c".to_owned(), 24)]);
}
