//! Batches: nothing of one shows before its commit, and then all of it at one time.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, change, ids_of};
use crate::{BsoChange, DbError, Precondition, SyncTimestamp};

/// Neither records nor times, neither the collection nor the bytes.
pub async fn nothing_of_a_batch_shows_before_its_commit(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("old", change("a").payload("before")).await;
    let before = user.everything().await;
    fixture.clock.advance(1000);
    for collection in ["old", "new"] {
        let batch = user.create_batch(collection, vec![change("a").payload("staged"), change("b")]).await;
        user.append(collection, &batch, vec![change("c").payload("staged")]).await;
        assert_eq!(user.everything().await, before, "{collection}");
        assert_eq!(user.get(collection, "c").await, None, "{collection}");
        assert_eq!(user.collection_time("new").await, SyncTimestamp::ZERO);
    }
}

/// The records, the collection and the store.
pub async fn a_commit_writes_all_of_a_batch_at_one_time(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("a").payload("1").sortindex(1)]).await;
    fixture.clock.advance(60_000);
    user.append("c", &batch, vec![change("b").payload("2"), change("c")]).await;
    fixture.clock.advance(60_000);
    let time = user.commit("c", &batch, vec![change("d").payload("4")]).await;
    assert_eq!(time, fixture.clock.now());
    let all = user.all("c").await;
    assert_eq!(ids_of(&all), ["a", "b", "c", "d"]);
    assert!(all.iter().all(|bso| bso.modified == time), "{all:?}");
    assert_eq!((all[0].payload.as_str(), all[0].sortindex), ("1", Some(1)));
    assert_eq!((all[3].payload.as_str(), all[3].sortindex), ("4", None));
    assert_eq!((user.collection_time("c").await, user.store_time().await), (time, time));
}

/// The collection's time, which stays as it is throughout.
pub async fn the_requests_of_a_batch_are_stamped_by_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for expected in [SyncTimestamp::ZERO, user.put("c", change("a")).await] {
        let collection = if expected == SyncTimestamp::ZERO { "new" } else { "c" };
        user.put("other", change("a")).await;
        fixture.clock.advance(1000);
        let at = user.at(collection);
        let opened = user.db.create_batch(&at, vec![change("x")], Precondition::None).await.unwrap();
        assert_eq!(opened.last_modified, expected);
        let appended = user.try_append(collection, &opened.value, vec![change("y")]).await.unwrap();
        assert_eq!(appended.last_modified, expected);
    }
}

/// Payload and sortindex.
type Merged = (&'static str, Option<i32>);

/// The later request says what counts, field by field; what it does not say stays.
pub async fn a_record_that_comes_again_is_merged_field_by_field(backend: &Backend) {
    let fixture = backend.fixture().await;
    // What the three requests of a batch say, and what that makes of a new record, and of one with "old" and 9.
    let cases: [([BsoChange; 3], Merged, Merged); 7] = [
        ([change("a").payload("1"), change("a").sortindex(2), change("a")], ("1", Some(2)), ("1", Some(2))),
        (["1", "2", "3"].map(|payload| change("a").payload(payload)), ("3", None), ("3", Some(9))),
        ([1, 2, 3].map(|sortindex| change("a").sortindex(sortindex)), ("", Some(3)), ("old", Some(3))),
        (
            [change("a").payload("1").sortindex(1), change("a").null_payload(), change("a")],
            ("", Some(1)),
            ("", Some(1)),
        ),
        (
            [change("a").null_sortindex(), change("a").sortindex(3), change("a").null_payload()],
            ("", Some(3)),
            ("", Some(3)),
        ),
        ([change("a").null_sortindex(), change("a").ttl(60), change("a").payload("3")], ("3", None), ("3", None)),
        ([change("a"), change("a"), change("a")], ("", None), ("old", Some(9))),
    ];
    for (requests, new, existing) in cases {
        for (stored, expected) in [(false, new), (true, existing)] {
            let user = fixture.user();
            if stored {
                user.put("c", change("a").payload("old").sortindex(9)).await;
            }
            let [created, appended, committed] = requests.clone();
            let batch = user.create_batch("c", vec![created, change("other")]).await;
            user.append("c", &batch, vec![appended]).await;
            user.commit("c", &batch, vec![committed]).await;
            let bso = user.get("c", "a").await.unwrap();
            assert_eq!((bso.payload.as_str(), bso.sortindex), expected, "{requests:?} on a stored one: {stored}");
            assert_eq!(user.ids("c").await, ["a", "other"], "{requests:?}");
        }
    }
}

/// Over what was appended, and over the record that is stored.
pub async fn the_records_of_the_commit_request_win(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a").payload("stored").sortindex(7)).await;
    let batch = user.create_batch("c", vec![change("a").payload("created").sortindex(1)]).await;
    user.append("c", &batch, vec![change("a").payload("appended")]).await;
    user.commit("c", &batch, vec![change("a").payload("committed")]).await;
    let bso = user.get("c", "a").await.unwrap();
    assert_eq!((bso.payload.as_str(), bso.sortindex), ("committed", Some(1)));
}

/// A known fault of other servers: an append that updates every staged record of the batch.
pub async fn an_append_touches_only_its_own_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let staged = vec![change("a").payload("1").sortindex(1).ttl(600), change("b").payload("2").sortindex(2)];
    let batch = user.create_batch("c", staged).await;
    // Another batch of the same user and collection, with the same ids.
    let other = user.create_batch("c", vec![change("a").payload("other"), change("b").payload("other")]).await;
    user.append("c", &batch, vec![change("b").payload("later").sortindex(22).ttl(5)]).await;
    user.append("c", &batch, vec![change("d").payload("4").sortindex(4).ttl(5)]).await;
    user.commit("c", &batch, vec![change("e").payload("5")]).await;
    let seen = user.all("c").await;
    let seen: Vec<_> = seen.iter().map(|bso| (bso.id.as_str(), bso.payload.as_str(), bso.sortindex)).collect();
    assert_eq!(seen, [("a", "1", Some(1)), ("b", "later", Some(22)), ("d", "4", Some(4)), ("e", "5", None)]);
    fixture.clock.advance(5000);
    assert_eq!(user.ids("c").await, ["a", "e"]);
    user.commit("c", &other, Vec::new()).await;
    assert_eq!((user.payload("c", "a").await, user.payload("c", "b").await), ("other".into(), "other".into()));
}

/// What was written between the requests of a batch is what the batch changes.
pub async fn a_commit_changes_the_records_as_they_are_then(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a").payload("early").sortindex(1)).await;
    user.put("c", change("gone").payload("early").sortindex(1)).await;
    let staged = ["a", "gone", "new"].map(|key| change(key).sortindex(5)).to_vec();
    let batch = user.create_batch("c", staged).await;
    user.put("c", change("a").payload("meanwhile").sortindex(2)).await;
    user.delete_bso("c", "gone").await;
    user.put("c", change("new").payload("meanwhile")).await;
    user.commit("c", &batch, Vec::new()).await;
    for (key, payload) in [("a", "meanwhile"), ("gone", ""), ("new", "meanwhile")] {
        let bso = user.get("c", key).await.unwrap();
        assert_eq!((bso.payload.as_str(), bso.sortindex), (payload, Some(5)), "{key}");
    }
}

/// A PUT with a ttl alone leaves `modified`; a batch never does.
pub async fn a_commit_stamps_every_record_whatever_its_fields(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let keys = ["none", "ttl", "null-ttl", "payload", "committed"];
    user.post("c", keys.map(|key| change(key).payload("x").sortindex(1)).to_vec()).await;
    fixture.clock.advance(1000);
    let staged =
        vec![change("none"), change("ttl").ttl(60), change("null-ttl").null_ttl(), change("payload").payload("y")];
    let batch = user.create_batch("c", staged).await;
    let time = user.commit("c", &batch, vec![change("committed")]).await;
    for bso in user.all("c").await {
        let payload = if bso.id.as_str() == "payload" { "y" } else { "x" };
        assert_eq!((bso.modified, bso.payload.as_str(), bso.sortindex), (time, payload, Some(1)), "{bso:?}");
    }
}

/// A known fault of other servers is a ttl that counts from the upload.
pub async fn a_ttl_in_a_batch_counts_from_the_commit(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("created").ttl(10), change("short").ttl(1)]).await;
    fixture.clock.advance(3_600_000);
    user.append("c", &batch, vec![change("appended").ttl(10)]).await;
    fixture.clock.advance(1_800_000);
    user.commit("c", &batch, vec![change("committed").ttl(10)]).await;
    assert_eq!(user.ids("c").await, ["appended", "committed", "created", "short"]);
    fixture.clock.advance(9_999);
    assert_eq!(user.ids("c").await, ["appended", "committed", "created"]);
    fixture.clock.advance(1);
    assert_eq!(user.ids("c").await, [""; 0]);
}

/// A known fault of other servers: records without ttl in a batch that get an absolute expiry date.
pub async fn records_of_a_batch_without_ttl_never_expire(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("was-short").ttl(60)).await;
    user.put("c", change("stays-short").ttl(60)).await;
    let batch = user.create_batch("c", vec![change("created"), change("was-short").null_ttl()]).await;
    let appended = vec![change("appended").payload("x"), change("stays-short").payload("x")];
    user.append("c", &batch, appended).await;
    user.append("c", &batch, vec![change("reset").ttl(1)]).await;
    user.append("c", &batch, vec![change("reset").null_ttl()]).await;
    user.commit("c", &batch, vec![change("committed")]).await;
    fixture.clock.advance(50 * 365 * 86_400_000);
    assert_eq!(user.ids("c").await, ["appended", "committed", "created", "reset", "was-short"]);
}

/// It gets its T as after a POST of no records.
pub async fn an_empty_batch_creates_the_collection_at_its_commit(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", Vec::new()).await;
    user.append("c", &batch, Vec::new()).await;
    assert_eq!(user.collections().await, []);
    let time = user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.collections().await, [("c".to_owned(), time)]);
    assert_eq!(user.all("c").await, []);
}

/// Also such as are opened in the same millisecond, whose ids differ.
pub async fn open_batches_do_not_mix(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (user, stranger) = (fixture.user(), fixture.user());
    let mut batches = Vec::new();
    for n in 0..10 {
        let (owner, collection) = (if n % 2 == 0 { &user } else { &stranger }, ["c", "C"][n / 2 % 2]);
        let staged = vec![change(&format!("own{n}")), change("same").payload(n.to_string())];
        let batch = owner.create_batch(collection, staged).await;
        assert!(batches.iter().all(|(_, _, earlier, _)| *earlier != batch), "{batch:?} twice");
        batches.push((owner, collection, batch, n));
    }
    for (owner, collection, batch, n) in &batches {
        owner.append(collection, batch, vec![change(&format!("appended{n}"))]).await;
    }
    for (owner, collection, batch, n) in &batches {
        let before = owner.ids(collection).await;
        owner.commit(collection, batch, Vec::new()).await;
        let mut expected: Vec<_> = ["same".to_owned(), format!("own{n}"), format!("appended{n}")].to_vec();
        expected.extend(before);
        expected.sort();
        expected.dedup();
        assert_eq!(owner.ids(collection).await, expected);
        assert_eq!(owner.payload(collection, "same").await, n.to_string());
    }
}

/// As a first sync uploads them.
pub async fn a_batch_holds_thousands_of_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let part = |part: usize| -> Vec<_> {
        (0..100)
            .map(|n| change(&format!("{part:02}-{n:02}")).payload(format!("{part} {n} {}", "x".repeat(300))))
            .collect()
    };
    let batch = user.create_batch("history", part(0)).await;
    for number in 1..29 {
        user.append("history", &batch, part(number)).await;
    }
    assert_eq!(user.collections().await, []);
    let time = user.commit("history", &batch, part(29)).await;
    let all = user.all("history").await;
    assert_eq!(all.len(), 3000);
    assert!(all.iter().all(|bso| bso.modified == time));
    assert_eq!(all[1234].payload, format!("12 34 {}", "x".repeat(300)));
}

/// Writes to the collection, and deletions of its records, are no wipe.
pub async fn other_writes_leave_an_open_batch_alone(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (user, stranger) = (fixture.user(), fixture.user());
    user.post("c", vec![change("a"), change("b")]).await;
    user.put("other", change("a")).await;
    let batch = user.create_batch("c", vec![change("a").payload("staged"), change("new")]).await;
    stranger.put("c", change("a")).await;
    user.put("c", change("x")).await;
    user.delete_bso("c", "a").await;
    user.delete_bsos("c", &["b", "new"]).await;
    user.delete_collection("other").await;
    stranger.delete_collection("c").await;
    stranger.delete_store().await;
    user.append("c", &batch, vec![change("late")]).await;
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.ids("c").await, ["a", "late", "new", "x"]);
    assert_eq!(user.payload("c", "a").await, "staged");
}

/// A known fault of other servers: a later commit revives what was wiped.
pub async fn a_wipe_of_the_store_ends_its_open_batches(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a")).await;
    let batches = [
        ("c", user.create_batch("c", vec![change("b")]).await),
        ("new", user.create_batch("new", vec![change("b")]).await),
    ];
    let wiped = user.delete_store().await;
    for (collection, batch) in &batches {
        assert_is!(user.try_append(collection, batch, vec![change("d")]).await, Err(DbError::BatchNotFound));
        assert_is!(user.try_commit(collection, batch, vec![change("d")]).await, Err(DbError::BatchNotFound));
    }
    assert_eq!((user.collections().await, user.store_time().await), (Vec::new(), wiped));
}

/// The batches for it, and no others.
pub async fn a_wipe_of_a_collection_ends_its_open_batches(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a")).await;
    user.put("C", change("a")).await;
    let ended = user.create_batch("c", vec![change("b")]).await;
    let stays = user.create_batch("C", vec![change("b")]).await;
    user.delete_collection("c").await;
    assert_is!(user.try_append("c", &ended, vec![change("d")]).await, Err(DbError::BatchNotFound));
    assert_is!(user.try_commit("c", &ended, vec![change("d")]).await, Err(DbError::BatchNotFound));
    assert_eq!(user.all("c").await, []);
    user.commit("C", &stays, vec![change("d")]).await;
    assert_eq!(user.ids("C").await, ["a", "b", "d"]);
}

/// Whoever deletes a collection wants none of it, be it there already or on its way.
pub async fn a_wipe_of_a_collection_that_is_not_there_yet_ends_its_open_batches(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("b")]).await;
    let before = user.everything().await;
    user.db.delete_collection(&user.at("c"), Precondition::None).await.unwrap();
    assert_eq!(user.everything().await, before);
    assert_is!(user.try_commit("c", &batch, Vec::new()).await, Err(DbError::BatchNotFound));
}
