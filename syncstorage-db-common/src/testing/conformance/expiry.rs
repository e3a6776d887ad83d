//! Records that expire: absent everywhere from their very millisecond on.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, ManualClock, TestUser, Via, change, id};
use crate::{BsoQuery, DbError, Precondition, SyncTimestamp};

/// Checks every way there is to see a record `a` in `c`, the only one there, with a payload of 4 bytes.
async fn assert_there(user: &TestUser, there: bool, context: &str) {
    assert_eq!(user.get("c", "a").await.is_some(), there, "get_bso {context}");
    assert_eq!(user.all("c").await.len(), usize::from(there), "get_bsos {context}");
    let query = BsoQuery { ids: Some(vec![id("a")]), ..BsoQuery::default() };
    assert_eq!(user.read("c", &query).await.bsos.len(), usize::from(there), "get_bsos by id {context}");
    let listed = |number: u64| if there { vec![("c".to_owned(), number)] } else { Vec::new() };
    assert_eq!(user.counts().await, listed(1), "counts {context}");
    assert_eq!(user.usage().await, listed(4), "usage {context}");
    assert_eq!(user.bytes().await, if there { 4 } else { 0 }, "quota {context}");
}

/// The write succeeds, and nothing is there.
pub async fn a_ttl_of_zero_is_absent_at_once(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        let time = user.write(via, "c", change("a").payload("text").ttl(0)).await;
        assert_there(&user, false, &format!("{via:?}")).await;
        assert_eq!(user.collections().await, [("c".to_owned(), time)], "{via:?}");

        user.write(via, "c", change("a").payload("text")).await;
        assert_there(&user, true, &format!("{via:?}")).await;
        let time = user.write(via, "c", change("a").ttl(0)).await;
        assert_there(&user, false, &format!("{via:?}")).await;
        assert_eq!(user.collections().await, [("c".to_owned(), time)], "{via:?}");
    }
}

/// Not one millisecond sooner or later, however the clock stands within the tick.
pub async fn a_record_expires_at_its_millisecond(backend: &Backend) {
    let fixture = backend.fixture().await;
    for (number, via) in Via::ALL.into_iter().enumerate() {
        for within_tick in [0, 7] {
            fixture.clock.set(ManualClock::START_MS + 100_000 * number as i64 + within_tick);
            let user = fixture.user();
            let written = user.write(via, "c", change("a").payload("text").ttl(2)).await;
            // T is rounded down to the tick, and so is what counts from it.
            assert_eq!(written.as_ms(), fixture.clock.now_ms() - within_tick);
            fixture.clock.set(written.as_ms() + 1999);
            assert_there(&user, true, &format!("a millisecond before, {via:?}")).await;
            fixture.clock.set(written.as_ms() + 2000);
            assert_there(&user, false, &format!("at the millisecond, {via:?}")).await;
            fixture.clock.advance(1_000_000);
            assert_there(&user, false, &format!("long after, {via:?}")).await;
        }
    }
}

/// That a record expires is no write.
pub async fn expiry_changes_no_times(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("other", change("a")).await;
    user.put("c", change("a").ttl(1)).await;
    let (collections, store) = (user.collections().await, user.store_time().await);
    fixture.clock.advance(100_000);
    assert_eq!(user.all("c").await, []);
    assert_eq!((user.collections().await, user.store_time().await), (collections, store));
}

/// The longest ttl overflows nowhere.
pub async fn a_ttl_of_the_longest_kind_keeps_a_record_for_decades(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        fixture.clock.set(ManualClock::START_MS);
        let user = fixture.user();
        user.write(via, "c", change("a").payload("text").ttl(999_999_999)).await;
        fixture.clock.advance(999_999_998_000);
        assert_there(&user, true, &format!("{via:?}")).await;
        fixture.clock.advance(2000);
        assert_there(&user, false, &format!("{via:?}")).await;
    }
}

/// Not after half a century either. (A backend may store "never" as some far-off time.)
pub async fn a_record_without_ttl_never_expires(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        fixture.clock.set(ManualClock::START_MS);
        let user = fixture.user();
        user.write(via, "c", change("a").payload("text")).await;
        fixture.clock.advance(50 * 365 * 86_400_000);
        assert_there(&user, true, &format!("{via:?}")).await;
    }
}

/// Nothing of the expired record shows in the new one.
pub async fn an_expired_record_that_is_overwritten_starts_afresh(backend: &Backend) {
    let fixture = backend.fixture().await;
    let updates = [
        change("a"),
        change("a").payload("new"),
        change("a").sortindex(2),
        change("a").ttl(60),
        change("a").null_ttl(),
    ];
    for via in Via::ALL {
        for update in &updates {
            let user = fixture.user();
            user.write(via, "c", change("a").payload("old").sortindex(1).ttl(5)).await;
            fixture.clock.advance(5000);
            let time = user.write(via, "c", update.clone()).await;
            let bso = user.get("c", "a").await.unwrap();
            let payload = update.payload.clone().apply(None).unwrap_or_default();
            let expected = (time, payload.as_str(), update.sortindex.apply(None));
            assert_eq!((bso.modified, bso.payload.as_str(), bso.sortindex), expected, "{via:?} {update:?}");
            assert_eq!(user.all("c").await, [bso], "{via:?} {update:?}");
            // Nor does it expire with the old one, of which it is no part.
            fixture.clock.advance(50_000);
            assert!(user.get("c", "a").await.is_some(), "{via:?} {update:?}");
        }
    }
}

/// It is not found, and nothing is written.
pub async fn an_expired_record_cannot_be_deleted(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a").ttl(1)).await;
    fixture.clock.advance(1000);
    let before = user.everything().await;
    assert_is!(user.db.delete_bso(&user.bso_at("c", "a"), Precondition::None).await, Err(DbError::NotFound));
    assert_eq!(user.everything().await, before);
    // A list of ids may name what is not there.
    let time = user.delete_bsos("c", &["a"]).await;
    assert_eq!(user.collection_time("c").await, time);
}

/// Zero is its last-modified time, as that of any absent record.
pub async fn an_expired_record_counts_as_never_modified(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.put("c", change("a").ttl(1)).await;
    let never = Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into());
    assert_is!(user.try_put("c", change("a"), never).await, Err(DbError::PreconditionFailed(_)));
    fixture.clock.advance(1000);
    for condition in [never, Precondition::ModifiedSince(SyncTimestamp::ZERO.into())] {
        assert_is!(user.db.get_bso(&user.bso_at("c", "a"), condition).await, Err(DbError::NotFound));
    }
    user.try_put("c", change("a"), never).await.unwrap();
}

/// They fill no page, and end no sequence of pages.
pub async fn expired_records_take_no_place_in_a_page(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let changes = (0..20).map(|n| {
        let record = change(&format!("{n:02}")).sortindex(n);
        if n % 2 == 0 { record.ttl(1) } else { record }
    });
    user.post("c", changes.collect()).await;
    fixture.clock.advance(1000);
    for sort in [crate::Sort::Newest, crate::Sort::Oldest, crate::Sort::Index] {
        let mut query = BsoQuery { sort, limit: Some(5), ..BsoQuery::default() };
        let first = user.read("c", &query).await;
        query.after = first.next;
        let second = user.read("c", &query).await;
        assert_eq!((first.bsos.len(), second.bsos.len(), second.next), (5, 5, None), "{sort:?}");
    }
}

/// A write time that runs ahead of the clock does not prolong a life.
pub async fn a_ttl_counts_from_the_clock_where_the_write_time_is_ahead(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        for _ in 0..20 {
            user.put("other", change("x")).await;
        }
        let now_ms = fixture.clock.now_ms();
        let time = user.write(via, "c", change("a").payload("text").ttl(1)).await;
        assert!(time.as_ms() > now_ms, "{via:?}");
        user.delete_collection("other").await;
        fixture.clock.set(now_ms + 999);
        assert_there(&user, true, &format!("{via:?}")).await;
        fixture.clock.set(now_ms + 1000);
        assert_there(&user, false, &format!("{via:?}")).await;
        fixture.clock.advance(60_000);
    }
}

/// However far ahead that is.
pub async fn a_ttl_counts_from_the_clock_where_that_was_set_back(backend: &Backend) {
    let fixture = backend.fixture().await;
    for via in Via::ALL {
        let user = fixture.user();
        let ahead = user.put("c", change("x").payload("")).await;
        user.delete_store().await;
        fixture.clock.advance(-3_600_000);
        let now_ms = fixture.clock.now_ms();
        let time = user.write(via, "c", change("a").payload("text").ttl(5)).await;
        assert!(time > ahead, "{via:?}");
        fixture.clock.set(now_ms + 4999);
        assert_there(&user, true, &format!("{via:?}")).await;
        fixture.clock.set(now_ms + 5000);
        assert_there(&user, false, &format!("{via:?}")).await;
        fixture.clock.set(now_ms + 3_600_000);
    }
}
