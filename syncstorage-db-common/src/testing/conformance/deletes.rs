//! Deletions: of one record, of some, of a collection, of all.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, TestUser, change, id};
use crate::{DbError, Deletion, Precondition, SyncTimestamp, Written};

/// The record goes, its neighbours stay as they are, and the collection and the store get T.
pub async fn a_deleted_record_is_gone_and_nothing_else(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let written = user.post("c", ["a", "b"].map(|key| change(key).payload("x").sortindex(1)).to_vec()).await;
    let other = user.put("other", change("a")).await;
    fixture.clock.advance(1000);
    let deleted = user.delete_bso("c", "a").await;
    assert_eq!(deleted, fixture.clock.now());
    assert_eq!((user.ids("c").await, user.get("c", "a").await), (vec!["b".to_owned()], None));
    assert_eq!(user.get("c", "b").await.unwrap().modified, written);
    assert_eq!(user.collections().await, [("c".to_owned(), deleted), ("other".to_owned(), other)]);
    assert_eq!(user.store_time().await, deleted);
    assert_eq!(user.ids("other").await, ["a"]);
}

/// In a collection that is there or not; nothing is written, and no collection made.
pub async fn an_absent_record_cannot_be_deleted(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", vec![change("a"), change("gone")]).await;
    user.delete_bso("c", "gone").await;
    let before = user.everything().await;
    fixture.clock.advance(1000);
    for (collection, key) in [("c", "gone"), ("c", "A"), ("c", "a "), ("absent", "a"), ("C", "a")] {
        let deleted = user.db.delete_bso(&user.bso_at(collection, key), Precondition::None).await;
        assert_is!(deleted, Err(DbError::NotFound), "{collection} {key}");
    }
    assert_eq!(user.everything().await, before);
}

/// Those that are there go, and all of it has one time.
pub async fn a_list_of_ids_deletes_what_is_there_of_it(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["a", "b", "c", "d", "A", "a,b"].map(change).to_vec()).await;
    user.post("other", ["a", "b"].map(change).to_vec()).await;
    fixture.clock.advance(1000);
    let deleted = user.delete_bsos("c", &["a", "absent", "c", "B", "a", "a "]).await;
    assert_eq!(deleted, fixture.clock.now());
    assert_eq!(user.ids("c").await, ["A", "a,b", "b", "d"]);
    assert_eq!(user.ids("other").await, ["a", "b"]);
    assert_eq!((user.collection_time("c").await, user.store_time().await), (deleted, deleted));
}

/// The collection stays and gets T, whether any record was there or not.
pub async fn a_list_that_deletes_nothing_stamps_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut last = user.put("c", change("a")).await;
    for ids in [&[][..], &["absent"], &["a"], &["a"], &[]] {
        let time = user.delete_bsos("c", ids).await;
        assert!(time > last, "{ids:?}");
        assert_eq!(user.collections().await, [("c".to_owned(), time)], "{ids:?}");
        last = time;
    }
    assert_eq!(user.all("c").await, []);
}

/// As many ids as one request may name, and more.
pub async fn a_long_list_of_ids_is_deleted_at_once(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let keys: Vec<String> = (0..400).map(|n| format!("{n:03}")).collect();
    user.post("c", keys.iter().map(|key| change(key)).collect()).await;
    user.delete_bsos("c", &keys.iter().step_by(2).map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(user.ids("c").await, keys.iter().skip(1).step_by(2).cloned().collect::<Vec<_>>());
}

/// The collection goes with its record in the list of collections; the others stay.
pub async fn a_deleted_collection_is_gone_and_nothing_else(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["a", "b"].map(|key| change(key).payload("x")).to_vec()).await;
    let other = user.put("other", change("a").payload("xyz")).await;
    fixture.clock.advance(1000);
    let deleted = user.delete_collection("c").await;
    assert_eq!(deleted, fixture.clock.now());
    assert_eq!(user.collections().await, [("other".to_owned(), other)]);
    assert_eq!((user.all("c").await, user.get("c", "a").await), (Vec::new(), None));
    assert_eq!((user.counts().await, user.bytes().await), (vec![("other".to_owned(), 1)], 3));
    assert_eq!(user.collection_time("c").await, SyncTimestamp::ZERO);
    assert_eq!(user.store_time().await, deleted);
}

async fn assert_no_collection(user: &TestUser, collection: &str, store: SyncTimestamp) {
    let before = user.everything().await;
    let deleted = user.db.delete_collection(&user.at(collection), Precondition::None).await;
    assert_is!(deleted, Ok(Deletion::NoCollection(time)) if time == store);
    for ids in [&[id("a")][..], &[]] {
        let deleted = user.db.delete_bsos(&user.at(collection), ids, Precondition::None).await;
        assert_is!(deleted, Ok(Deletion::NoCollection(time)) if time == store);
    }
    assert_eq!(user.everything().await, before);
}

/// There is nothing to do, and nothing is written; the answer has the store's time.
pub async fn deleting_from_a_collection_that_is_not_there_writes_nothing(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    assert_no_collection(&user, "c", SyncTimestamp::ZERO).await;
    let store = user.put("other", change("a")).await;
    fixture.clock.advance(1000);
    assert_no_collection(&user, "c", store).await;
    assert_no_collection(&user, "Other", store).await;
    let store = user.delete_collection("other").await;
    assert_no_collection(&user, "other", store).await;
    let store = user.delete_store().await;
    assert_no_collection(&user, "other", store).await;
}

/// Of its records nothing is left to a new one of that name.
pub async fn a_deleted_collection_starts_afresh(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["a", "b"].map(|key| change(key).payload("old").sortindex(1)).to_vec()).await;
    let deleted = user.delete_collection("c").await;
    let time = user.put("c", change("a").ttl(600)).await;
    assert!(time > deleted);
    let bso = user.get("c", "a").await.unwrap();
    assert_eq!((bso.modified, bso.payload.as_str(), bso.sortindex), (time, "", None));
    assert_eq!(user.ids("c").await, ["a"]);
}

/// Neither payload nor sortindex nor expiry comes back, whichever way the record went.
pub async fn a_deleted_record_starts_afresh(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for way in 0..3 {
        user.post("c", vec![change("a").payload("old").sortindex(1).ttl(60), change("b")]).await;
        match way {
            0 => user.delete_bso("c", "a").await,
            1 => user.delete_bsos("c", &["a"]).await,
            _ => user.delete_store().await,
        };
        let time = user.put("c", change("a")).await;
        let bso = user.get("c", "a").await.unwrap();
        assert_eq!((bso.modified, bso.payload.as_str(), bso.sortindex), (time, "", None), "{way}");
        fixture.clock.advance(100_000);
        assert!(user.get("c", "a").await.is_some(), "{way}");
    }
}

/// Only the last-modified time remains.
pub async fn a_deleted_store_leaves_only_its_time(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for collection in ["a", "b", "own-collection"] {
        user.post(collection, ["a", "b"].map(|key| change(key).payload("x")).to_vec()).await;
    }
    fixture.clock.advance(1000);
    let deleted = user.delete_store().await;
    assert_eq!(deleted, fixture.clock.now());
    assert_eq!(user.collections().await, []);
    assert_eq!((user.counts().await, user.usage().await, user.bytes().await), (Vec::new(), Vec::new(), 0));
    assert_eq!((user.all("a").await, user.get("b", "a").await), (Vec::new(), None));
    assert_eq!(user.store_time().await, deleted);
}

/// It is a write like any other, also where nothing is stored.
pub async fn an_empty_store_can_be_deleted(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let first = user.delete_store().await;
    assert_eq!(first, fixture.clock.now());
    let second = user.delete_store().await;
    assert_eq!(second, first.next());
    assert_eq!((user.collections().await, user.store_time().await), (Vec::new(), second));
}

/// What comes after a wipe is later than all before it, though the clock was set back.
pub async fn the_time_of_a_deleted_store_is_remembered(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a")).await;
    fixture.clock.advance(5000);
    let deleted = user.delete_store().await;
    fixture.clock.advance(-3_600_000);
    assert_eq!(user.store_time().await, deleted);
    assert_eq!(user.put("c", change("a")).await, deleted.next());
    let deleted = user.delete_collection("c").await;
    fixture.clock.advance(-3_600_000);
    assert_eq!(user.store_time().await, deleted);
    assert_eq!(user.post("c", Vec::new()).await, deleted.next());
}

/// The store's time goes only forward, deletion after deletion, down to nothing.
pub async fn the_time_of_the_store_never_goes_back(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for collection in ["a", "b"] {
        user.post(collection, ["1", "2", "3"].map(change).to_vec()).await;
    }
    let mut last = user.store_time().await;
    for step in 0..5 {
        let time = match step {
            0 => user.delete_bso("b", "1").await,
            1 => user.delete_bsos("b", &["2", "3"]).await,
            2 => user.delete_collection("b").await,
            3 => user.delete_collection("a").await,
            _ => user.delete_store().await,
        };
        assert!(time > last, "step {step}");
        assert_eq!(user.store_time().await, time, "step {step}");
        last = time;
    }
}

/// Without a quota there is nothing left of one, whatever is written.
pub async fn without_a_quota_no_write_tells_what_is_left(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let none = Precondition::None;
    let batch = user.create_batch("c", Vec::new()).await;
    let deleted = |deletion| match deletion {
        Deletion::Done(written) => written,
        Deletion::NoCollection(_) => panic!("the collection is there"),
    };
    let written: [Written; 7] = [
        user.try_put("c", change("a").payload("x"), none).await.unwrap(),
        user.try_post("c", vec![change("b")], none).await.unwrap(),
        user.try_commit("c", &batch, Vec::new()).await.unwrap(),
        user.db.delete_bso(&user.bso_at("c", "a"), none).await.unwrap(),
        deleted(user.db.delete_bsos(&user.at("c"), &[id("b")], none).await.unwrap()),
        deleted(user.db.delete_collection(&user.at("c"), none).await.unwrap()),
        user.db.delete_store(user.id, none).await.unwrap(),
    ];
    assert!(written.iter().all(|written| written.quota_left.is_none()), "{written:?}");
}
