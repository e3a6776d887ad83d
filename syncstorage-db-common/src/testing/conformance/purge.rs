//! Purging: it removes what nobody can see any more, and changes nothing that anybody can see.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Fixture, change};
use crate::{BATCH_LIFETIME_MS, DbError, PurgeBudget, Purged};

/// Purges by so many rows until there is no more to do, and gives the sums.
async fn purge_all(fixture: &Fixture, rows: u32) -> Purged {
    let mut sum = Purged::default();
    for _ in 0..1000 {
        let purged = fixture.db.purge(PurgeBudget { rows }).await.unwrap();
        assert!(purged.bsos + purged.batches <= u64::from(rows), "over the budget of {rows}: {purged:?}");
        sum.bsos += purged.bsos;
        sum.batches += purged.batches;
        if !purged.more {
            return sum;
        }
    }
    panic!("the purge has no end");
}

/// There is nothing to do, and no more of it.
pub async fn a_purge_of_nothing_removes_nothing(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    assert_eq!(fixture.db.purge(PurgeBudget { rows: 100 }).await.unwrap(), Purged::default());
    let user = fixture.user();
    user.post("c", vec![change("a"), change("b").ttl(60)]).await;
    user.create_batch("c", vec![change("a")]).await;
    assert_eq!(fixture.db.purge(PurgeBudget { rows: 100 }).await.unwrap(), Purged::default());
}

/// Expired records go, of all users; all others stay, and so do the times.
pub async fn a_purge_removes_what_has_expired_and_nothing_else(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let users = [fixture.user(), fixture.user()];
    for user in &users {
        for collection in ["c", "d"] {
            let records = [change("gone").ttl(10), change("zero").ttl(0), change("later").ttl(11), change("stays")];
            user.post(collection, records.map(|record| record.payload("x")).to_vec()).await;
        }
        user.put("all-gone", change("gone").ttl(1)).await;
        user.put("renewed", change("a").ttl(10)).await;
        user.put("renewed", change("a").ttl(60)).await;
    }
    fixture.clock.advance(10_000);
    users[0].put("c", change("gone").payload("again")).await;
    let before = [users[0].everything().await, users[1].everything().await];
    let purged = purge_all(&fixture, 1000).await;
    assert_eq!([users[0].everything().await, users[1].everything().await], before);
    // The records "gone" and "zero" in two collections and "gone" in a third, less the one that was written again.
    assert_eq!(purged, Purged { bsos: 5 + 5 - 1, batches: 0, more: false });
    assert_eq!(purge_all(&fixture, 1000).await, Purged::default());
    fixture.clock.advance(1000);
    assert_eq!(purge_all(&fixture, 1000).await.bsos, 4, "those of a second later");
}

/// Call by call, and it says when there is more to do.
pub async fn a_purge_keeps_to_its_budget(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let user = fixture.user();
    user.post("c", (0..25).map(|n| change(&n.to_string()).ttl(1)).collect()).await;
    user.put("c", change("stays")).await;
    fixture.clock.advance(1000);
    let before = user.everything().await;
    let first = fixture.db.purge(PurgeBudget { rows: 10 }).await.unwrap();
    assert!(first.bsos <= 10 && first.more, "{first:?}");
    assert_eq!(user.everything().await, before);
    let rest = purge_all(&fixture, 10).await;
    assert_eq!(first.bsos + rest.bsos, 25);
    assert_eq!(user.everything().await, before);
}

/// Those that are too old to be found go with what they hold; the open ones can still be committed.
pub async fn a_purge_removes_stale_batches_and_leaves_open_ones(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let user = fixture.user();
    let mut stale = Vec::new();
    for n in 0..3 {
        stale.push(user.create_batch("c", (0..10).map(|key| change(&format!("{n}-{key}"))).collect()).await);
    }
    stale.push(user.create_batch("other", Vec::new()).await);
    fixture.clock.advance(1);
    let open = user.create_batch("c", vec![change("a")]).await;
    fixture.clock.advance(BATCH_LIFETIME_MS);
    user.append("c", &open, vec![change("b")]).await;
    let before = user.everything().await;
    assert_eq!(purge_all(&fixture, 3).await.batches, 4);
    assert_eq!(user.everything().await, before);
    for batch in &stale {
        assert_is!(user.try_commit("c", batch, Vec::new()).await, Err(DbError::BatchNotFound));
    }
    user.commit("c", &open, vec![change("d")]).await;
    assert_eq!(user.ids("c").await, ["a", "b", "d"]);
}

/// Even a budget of one row gets to the end.
pub async fn a_purge_comes_to_an_end_by_single_rows(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let user = fixture.user();
    user.post("c", (0..12).map(|n| change(&n.to_string()).ttl(1)).collect()).await;
    user.create_batch("c", (0..5).map(|n| change(&n.to_string())).collect()).await;
    fixture.clock.advance(BATCH_LIFETIME_MS + 1);
    let purged = purge_all(&fixture, 1).await;
    assert_eq!((purged.bsos, purged.batches), (12, 1));
}

/// What is written while a purge goes on is not harmed by it.
pub async fn writes_go_on_during_a_purge(backend: &Backend) {
    let fixture = backend.own_fixture().await;
    let user = fixture.user();
    user.post("c", (0..50).map(|n| change(&format!("{n:02}")).payload("old").ttl(1)).collect()).await;
    fixture.clock.advance(1000);
    let writer = tokio::spawn({
        let user = user.clone();
        async move {
            for n in 0..50 {
                user.put("c", change(&format!("{n:02}")).payload("new")).await;
            }
        }
    });
    while !writer.is_finished() {
        fixture.db.purge(PurgeBudget { rows: 7 }).await.unwrap();
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer ends well");
    purge_all(&fixture, 7).await;
    let all = user.all("c").await;
    assert_eq!(all.len(), 50);
    assert!(all.iter().all(|bso| bso.payload == "new"));
}
