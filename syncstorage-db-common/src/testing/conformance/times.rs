//! The time T of a write: greater than any before it, and close to the clock.

use std::time::Duration;

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Fixture, ManualClock, TestUser, Via, change};
use crate::{DbError, DbResult, Fault, MAX_AHEAD_MS, Precondition, SyncTimestamp, Written};

/// Every kind of write once; each gives its T.
async fn write_in_every_way(user: &TestUser) -> Vec<SyncTimestamp> {
    vec![
        user.put("c", change("a").payload("x")).await,
        user.put("c", change("a").ttl(600)).await,
        user.post("c", vec![change("b"), change("c")]).await,
        user.post("empty", Vec::new()).await,
        user.write(Via::Batch, "c", change("d")).await,
        user.delete_bso("c", "a").await,
        user.delete_bsos("c", &["b", "absent"]).await,
        user.delete_bsos("c", &[]).await,
        user.delete_collection("c").await,
        user.put("c", change("a")).await,
        user.delete_store().await,
        user.delete_store().await,
        user.put("c", change("a")).await,
    ]
}

fn assert_increasing(times: &[SyncTimestamp]) {
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "not strictly increasing: {times:?}");
}

/// Rounded down to a hundredth of a second.
pub async fn a_write_gets_the_time_of_the_clock(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        for ms in [0, 7, 12_345, 12_359] {
            fixture.clock.set(ManualClock::START_MS + ms);
            let time = fixture.user().write(via, "c", change("a")).await;
            assert_eq!(time.as_ms(), ManualClock::START_MS + ms - ms % 10, "{via:?}");
        }
    }
}

/// The record, the collection and the store.
pub async fn all_that_a_write_touches_gets_its_time(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let untouched = user.post("untouched", vec![change("a")]).await;
    for via in Via::ALL {
        fixture.clock.advance(1000);
        let time = user.write(via, "c", change("a").payload("x")).await;
        assert_eq!(user.get("c", "a").await.unwrap().modified, time, "{via:?}");
        assert_eq!(user.collection_time("c").await, time, "{via:?}");
        assert_eq!(user.store_time().await, time, "{via:?}");
        assert_eq!(user.collection_time("untouched").await, untouched, "{via:?}");
        assert_eq!(user.get("untouched", "a").await.unwrap().modified, untouched, "{via:?}");
    }
}

/// As a POST and a DELETE of ids right after it, and any other two.
pub async fn writes_in_the_same_tick_get_different_times(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let posted = user.post("c", vec![change("a"), change("b")]).await;
    let deleted = user.delete_bsos("c", &["a"]).await;
    assert_eq!((posted, deleted), (fixture.clock.now(), fixture.clock.now().next()));

    let user = fixture.user();
    assert_increasing(&write_in_every_way(&user).await);
}

/// The store's last time counts, not that of the collection.
pub async fn a_write_is_later_than_one_to_another_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut times = Vec::new();
    for collection in ["a", "b", "a", "c", "b"] {
        times.push(user.put(collection, change("x")).await);
        times.push(user.delete_collection(collection).await);
    }
    assert_increasing(&times);
}

/// One user's burst moves nobody else's times.
pub async fn users_have_times_of_their_own(backend: &Backend) {
    let fixture = backend.fixture().await;
    let (busy, quiet) = (fixture.user(), fixture.user());
    write_in_every_way(&busy).await;
    assert_eq!(quiet.put("c", change("a")).await, fixture.clock.now());
}

/// Reading, asking and refusing are no writes.
pub async fn what_writes_nothing_moves_no_time(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a")).await;
    let before = user.everything().await;
    fixture.clock.advance(1000);
    let batch = user.create_batch("c", vec![change("b")]).await;
    user.append("c", &batch, vec![change("b")]).await;
    assert_is!(user.db.delete_bso(&user.bso_at("c", "b"), Precondition::None).await, Err(DbError::NotFound));
    user.db.delete_collection(&user.at("absent"), Precondition::None).await.unwrap();
    user.db.delete_bsos(&user.at("absent"), &[], Precondition::None).await.unwrap();
    user.db.check().await.unwrap();
    assert_eq!(user.everything().await, before);
}

/// Whatever the clock does, T goes forward; so it does across deletions of everything.
pub async fn times_increase_though_the_clock_is_set_back(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut times = Vec::new();
    for step in [0, -1, -10, -500, 300, -3_600_000, 5, 1000, -86_400_000] {
        fixture.clock.advance(step);
        times.extend(write_in_every_way(&user).await);
        assert_eq!(user.store_time().await, *times.last().unwrap());
    }
    assert_increasing(&times);
}

/// A store that is further ahead than a burst can drive it was written before the clock was set back, and just goes
/// on ticking: nobody has to wait for hours.
pub async fn a_clock_that_was_set_back_holds_no_write_up(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut last = user.put("c", change("a")).await;
    fixture.clock.advance(-3_600_000);
    for _ in 0..220 {
        let time = user.put("c", change("a")).await;
        assert_eq!(time, last.next());
        last = time;
    }
    // It catches up with the clock once that has come by.
    fixture.clock.set(last.as_ms() + 5000);
    assert_eq!(user.put("c", change("a")).await, fixture.clock.now());
}

/// Writes until the store is as far ahead of the clock as it may be.
async fn drive_ahead(fixture: &Fixture, user: &TestUser) -> SyncTimestamp {
    let mut last = user.put("c", change("a").payload("x")).await;
    while last.as_ms() < fixture.clock.now_ms() + MAX_AHEAD_MS {
        let time = user.put("c", change("a").sortindex(1)).await;
        assert_eq!(time, last.next());
        last = time;
    }
    assert_eq!(last.as_ms(), fixture.clock.now_ms() + MAX_AHEAD_MS, "not a tick further");
    last
}

/// A burst gets no further ahead: the write waits for a while, and is unavailable then, having changed nothing.
pub async fn a_burst_runs_at_most_two_seconds_ahead_of_the_clock(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let last = drive_ahead(&fixture, &user).await;
    let before = user.everything().await;
    let refused = user.try_put("c", change("a").payload("y"), Precondition::None).await;
    assert_is!(refused, Err(DbError::Fault(Fault::Unavailable(_))));
    assert_eq!(user.everything().await, before);
    // Others do not wait with it, and it goes on with the clock.
    assert_eq!(fixture.user().put("c", change("a")).await, fixture.clock.now());
    fixture.clock.advance(10);
    assert_eq!(user.put("c", change("a")).await, last.next());
}

/// A write that waits is carried out when the clock has come on, or it is unavailable and may be tried again.
/// Meanwhile it is in nobody's way.
pub async fn a_write_goes_through_when_the_clock_has_come_on(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let last = drive_ahead(&fixture, &user).await;
    let waiting = tokio::spawn({
        let user = user.clone();
        async move { user.try_put("c", change("a").payload("waited"), Precondition::None).await }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    if !waiting.is_finished() {
        fixture.user().put("c", change("a")).await;
        assert!(!waiting.is_finished(), "a write that waits holds up those of other users");
    }
    fixture.clock.advance(MAX_AHEAD_MS + 500);
    let ended: DbResult<Written> = waiting.await.unwrap();
    match ended {
        Ok(written) => {
            assert!(written.modified > last);
            assert_eq!(user.payload("c", "a").await, "waited");
        }
        Err(DbError::Fault(Fault::Unavailable(_))) => assert_eq!(user.payload("c", "a").await, "x"),
        Err(other) => panic!("{other:?}"),
    }
    assert!(user.put("c", change("a")).await > last);
}
