//! The quota: what counts, what is left, and what is refused.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, TestUser, Via, change, id};
use crate::{BsoChange, DbError, DbResult, Deletion, Precondition, Quota, Written};

fn text(id: &str, bytes: usize) -> BsoChange {
    change(id).payload("x".repeat(bytes))
}

fn left(written: DbResult<Written>) -> u64 {
    written.unwrap().quota_left.expect("there is a quota")
}

fn left_after(deletion: DbResult<Deletion>) -> u64 {
    match deletion.unwrap() {
        Deletion::Done(written) => left(Ok(written)),
        Deletion::NoCollection(_) => panic!("the collection is there"),
    }
}

/// Each write tells what is left of the limit, counted in bytes of unexpired payload.
pub async fn every_write_tells_what_is_left_of_the_quota(backend: &Backend) {
    let none = Precondition::None;
    for enforce in [false, true] {
        let quota = Quota { limit: 1000, enforce };
        let fixture = backend.fixture_with(|options| options.quota = Some(quota)).await;
        let user = fixture.user();
        assert_eq!(left(user.try_put("c", text("a", 100), none).await), 900);
        assert_eq!(left(user.try_put("c", text("a", 50), none).await), 950, "replaced");
        assert_eq!(left(user.try_put("c", change("a").sortindex(1), none).await), 950, "kept");
        assert_eq!(left(user.try_post("c", vec![text("b", 100), text("d", 10)], none).await), 840);
        assert_eq!(left(user.try_post("c", vec![change("b").null_payload()], none).await), 940, "reset");
        assert_eq!(left(user.try_post("other", vec![change("a").payload("🦊é")], none).await), 934, "bytes");
        let batch = user.create_batch("c", vec![text("a", 200), text("e", 300)]).await;
        user.append("c", &batch, vec![text("e", 100)]).await;
        assert_eq!(user.bytes().await, 66, "what is staged does not count");
        assert_eq!(left(user.try_commit("c", &batch, vec![text("f", 4)]).await), 680);
        assert_eq!(user.bytes().await, 320);
        assert_eq!(left(user.db.delete_bso(&user.bso_at("c", "a"), none).await), 880);
        assert_eq!(left_after(user.db.delete_bsos(&user.at("c"), &[id("e"), id("absent")], none).await), 980);
        assert_eq!(left_after(user.db.delete_collection(&user.at("c"), none).await), 994);
        assert_eq!(left(user.db.delete_store(user.id, none).await), 1000);
    }
}

/// What has expired does not count, from its very millisecond on.
pub async fn what_has_expired_does_not_count(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    let user = fixture.user();
    let none = Precondition::None;
    assert_eq!(left(user.try_put("c", text("a", 60).ttl(10), none).await), 40);
    fixture.clock.advance(9_990);
    assert_is!(user.try_put("c", text("b", 60), none).await, Err(DbError::OverQuota));
    fixture.clock.advance(10);
    assert_eq!(left(user.try_put("c", text("b", 60), none).await), 40);
    // Nor does a record that expires with its own write.
    assert_eq!(left(user.try_put("c", text("d", 1000).ttl(0), none).await), 40);
    assert_eq!(user.bytes().await, 60);
}

/// Up to the limit itself, and no byte more; a refused write leaves no trace.
pub async fn a_write_that_would_pass_the_quota_is_refused(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    for via in Via::ALL {
        let user = fixture.user();
        user.put("c", text("a", 60).sortindex(1)).await;
        let before = user.everything().await;
        for too_much in [text("b", 41), text("a", 101), text("a", 101).sortindex(2).ttl(60), text("b", 1_000_000)] {
            assert_is!(user.try_write(via, "c", too_much).await, Err(DbError::OverQuota), "{via:?}");
        }
        assert_is!(user.try_write(via, "new", text("b", 41)).await, Err(DbError::OverQuota), "{via:?}");
        assert_eq!(user.everything().await, before, "{via:?}");
        assert_eq!(left(user.try_write(via, "c", text("b", 40)).await), 0, "{via:?}");
        assert_is!(user.try_write(via, "c", text("d", 1)).await, Err(DbError::OverQuota), "{via:?}");
        // What does not grow passes at the limit: another field, no bytes, as many bytes, fewer bytes.
        for harmless in [change("a").sortindex(5), change("d"), text("a", 60), text("a", 59)] {
            assert_is!(user.try_write(via, "c", harmless).await, Ok(_), "{via:?}");
        }
    }
}

/// Nothing of it is stored, however little of it was too much.
pub async fn a_post_over_the_quota_is_refused_as_a_whole(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    let user = fixture.user();
    user.put("c", text("a", 50)).await;
    let before = user.everything().await;
    let refused = user.try_post("c", vec![text("b", 30), text("d", 21), change("e")], Precondition::None).await;
    assert_is!(refused, Err(DbError::OverQuota));
    assert_eq!(user.everything().await, before);
    // The sum after the write counts, not what comes first in the list.
    let written = user.try_post("c", vec![text("b", 90), text("a", 10)], Precondition::None).await;
    assert_eq!(left(written), 0);
}

/// The batch stays then, without what the refused commit brought, and can be committed when there is room.
pub async fn a_commit_over_the_quota_leaves_the_batch(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    let user = fixture.user();
    user.put("c", text("a", 60)).await;
    let before = user.everything().await;
    let batch = user.create_batch("c", vec![text("b", 30)]).await;
    user.append("c", &batch, vec![text("d", 20)]).await;
    assert_is!(user.try_commit("c", &batch, vec![text("e", 5)]).await, Err(DbError::OverQuota));
    assert_is!(user.try_commit("c", &batch, Vec::new()).await, Err(DbError::OverQuota));
    assert_eq!(user.everything().await, before);
    user.delete_bso("c", "a").await;
    assert_eq!(left(user.try_commit("c", &batch, vec![change("f")]).await), 50);
    assert_eq!(user.ids("c").await, ["b", "d", "f"]);
}

/// A quota that is only kept count of refuses nothing, and has nothing left when it is passed.
pub async fn a_quota_that_is_not_enforced_refuses_nothing(backend: &Backend) {
    let quota = Quota { limit: 100, enforce: false };
    let fixture = backend.fixture_with(|options| options.quota = Some(quota)).await;
    let user = fixture.user();
    for via in Via::ALL {
        assert_eq!(left(user.try_write(via, "c", text("a", 150)).await), 0, "{via:?}");
    }
    assert_eq!(user.bytes().await, 150);
    assert_eq!(left(user.try_put("c", text("a", 30), Precondition::None).await), 70);
}

/// A deletion makes room, and none is ever refused.
pub async fn a_deletion_makes_room(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    let user = fixture.user();
    let fill = async |user: &TestUser| {
        user.post("c", vec![text("a", 50), text("b", 50)]).await;
        assert_is!(user.try_put("c", text("d", 50), Precondition::None).await, Err(DbError::OverQuota));
    };
    fill(&user).await;
    user.delete_bso("c", "a").await;
    user.put("c", text("a", 50)).await;
    user.delete_bsos("c", &["a"]).await;
    user.put("c", text("a", 50)).await;
    user.delete_collection("c").await;
    fill(&user).await;
    user.delete_store().await;
    fill(&user).await;
}

/// One user's bytes are of no account to another.
pub async fn every_user_has_a_quota_of_their_own(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    let (first, second) = (fixture.user(), fixture.user());
    first.put("c", text("a", 100)).await;
    assert_eq!(left(second.try_put("c", text("a", 90), Precondition::None).await), 10);
    assert_is!(first.try_put("d", text("a", 1), Precondition::None).await, Err(DbError::OverQuota));
}
