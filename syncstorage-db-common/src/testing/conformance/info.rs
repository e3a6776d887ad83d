//! What a user has, as the `info` requests tell it.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, TestUser, change};
use crate::{DbError, Precondition, SyncTimestamp};

fn listed<T: Copy>(entries: &[(&str, T)]) -> Vec<(String, T)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// The stamps of the four answers, which have to be one.
async fn stamp(user: &TestUser) -> SyncTimestamp {
    let all = user.everything().await;
    let stamps =
        [all.collections.last_modified, all.counts.last_modified, all.usage.last_modified, all.quota.last_modified];
    assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "{stamps:?}");
    stamps[0]
}

/// Nothing is there, and nothing comes to be by asking.
pub async fn a_new_user_has_nothing(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for _ in 0..2 {
        assert_eq!(user.collections().await, []);
        assert_eq!(user.counts().await, []);
        assert_eq!(user.usage().await, []);
        assert_eq!(user.bytes().await, 0);
        assert_eq!(stamp(&user).await, SyncTimestamp::ZERO);
    }
}

/// Each with its own time, the empty ones too, and none that was deleted.
pub async fn the_collections_are_listed_with_their_times(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let tabs = user.put("tabs", change("a")).await;
    let forms = user.put("forms", change("a").ttl(0)).await;
    user.put("gone", change("a")).await;
    user.put("history", change("a")).await;
    let history = user.delete_bso("history", "a").await;
    let last = user.delete_collection("gone").await;
    let expected = listed(&[("forms", forms), ("history", history), ("tabs", tabs)]);
    assert_eq!(user.collections().await, expected);
    assert_eq!(user.store_time().await, last);
}

/// The store's last-modified time stands on all of them, that of the last write, whatever it was.
pub async fn the_answers_are_stamped_by_the_store(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let time = user.put("a", change("x")).await;
    assert_eq!(stamp(&user).await, time);
    let time = user.post("b", vec![change("x"), change("y")]).await;
    assert_eq!(stamp(&user).await, time);
    let time = user.put("a", change("x").ttl(60)).await;
    assert_eq!(stamp(&user).await, time);
    let time = user.delete_bso("b", "x").await;
    assert_eq!(stamp(&user).await, time);
    let time = user.delete_bsos("b", &["y"]).await;
    assert_eq!(stamp(&user).await, time);
    let time = user.delete_collection("a").await;
    assert_eq!(stamp(&user).await, time);
    let time = user.delete_store().await;
    assert_eq!(stamp(&user).await, time);
}

/// The collections with an unexpired record, and no others.
pub async fn counts_and_usage_list_what_has_unexpired_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("full", vec![change("a").payload("12345"), change("b").payload("é🦊"), change("c")]).await;
    user.post("mixed", vec![change("a").payload("123"), change("b").payload("gone").ttl(1)]).await;
    user.post("expired", vec![change("a").payload("1").ttl(1)]).await;
    user.post("blank", vec![change("a")]).await;
    user.post("empty", Vec::new()).await;
    fixture.clock.advance(1000);
    assert_eq!(user.counts().await, listed(&[("blank", 1), ("full", 3), ("mixed", 1)]));
    // Bytes of UTF-8, not characters.
    assert_eq!(user.usage().await, listed(&[("blank", 0), ("full", 11), ("mixed", 3)]));
    assert_eq!(user.bytes().await, 14);
    assert_eq!(user.collections().await.len(), 5);
}

/// Counts and bytes follow every kind of write.
pub async fn counts_and_usage_follow_the_writes(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let check = async |count: u64, bytes: u64| {
        assert_eq!(user.counts().await, if count > 0 { listed(&[("c", count)]) } else { Vec::new() });
        assert_eq!(user.usage().await, if count > 0 { listed(&[("c", bytes)]) } else { Vec::new() });
        assert_eq!(user.bytes().await, bytes);
    };
    user.put("c", change("a").payload("1234")).await;
    check(1, 4).await;
    user.put("c", change("a").payload("12345678")).await;
    check(1, 8).await;
    user.post("c", vec![change("a").payload("1"), change("b").payload("22"), change("c").payload("333")]).await;
    check(3, 6).await;
    user.put("c", change("a").sortindex(1)).await;
    check(3, 6).await;
    user.put("c", change("c").null_payload()).await;
    check(3, 3).await;
    let batch = user.create_batch("c", vec![change("d").payload("4444"), change("a").payload("55555")]).await;
    check(3, 3).await;
    user.commit("c", &batch, vec![change("e").payload("6")]).await;
    check(5, 12).await;
    user.delete_bso("c", "d").await;
    check(4, 8).await;
    user.delete_bsos("c", &["a", "absent"]).await;
    check(3, 3).await;
    user.delete_collection("c").await;
    check(0, 0).await;
    user.put("c", change("a").payload("1234")).await;
    check(1, 4).await;
    user.delete_store().await;
    check(0, 0).await;
}

/// A request with an old time is answered, one with the present time is not modified.
pub async fn asking_for_news_of_the_store_is_cheap_to_refuse(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let first = user.put("c", change("a")).await;
    let since = Precondition::ModifiedSince(first.into());
    let refused = user.db.info_collections(user.id, since).await;
    assert_is!(refused, Err(DbError::NotModified(time)) if time == first);
    let second = user.delete_collection("c").await;
    let answered = user.db.info_collections(user.id, since).await.unwrap();
    assert_eq!((answered.last_modified, answered.value), (second, Vec::new()));
}
