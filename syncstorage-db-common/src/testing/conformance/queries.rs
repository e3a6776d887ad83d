//! What a read of a collection selects, and in which order.

use std::io;

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Fixture, TestUser, change, id, ids_of};
use crate::{Bso, BsoId, BsoQuery, DbError, Precondition, Sink, Sort, SyncTimestamp, TimeBound};

fn bound(text: &str) -> TimeBound {
    text.parse().unwrap()
}

/// The ids that a query of `c` gives, in its order, in one string.
async fn selected(user: &TestUser, query: &BsoQuery) -> String {
    ids_of(&user.read("c", query).await.bsos).join(" ")
}

fn sorted_by(sort: Sort) -> BsoQuery {
    BsoQuery { sort, ..BsoQuery::default() }
}

/// Records `a` to `d`, written at 1700000000.00, .10, .20 and .30.
async fn four_records(fixture: &Fixture) -> TestUser {
    let user = fixture.user();
    for key in ["a", "b", "c", "d"] {
        let time = user.put("c", change(key)).await;
        assert_eq!(time, fixture.clock.now());
        fixture.clock.advance(100);
    }
    user
}

/// Strictly, and exactly, however many decimals there are.
pub async fn newer_is_strictly_greater(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    for (newer, expected) in [
        ("0", "a b c d"),
        ("0.00", "a b c d"),
        ("1699999999.999999", "a b c d"),
        ("1700000000", "b c d"),
        ("1700000000.0001", "b c d"),
        ("1700000000.09", "b c d"),
        ("1700000000.099", "b c d"),
        ("1700000000.0999999999999999999999", "b c d"),
        ("1700000000.1", "c d"),
        ("1700000000.10", "c d"),
        ("1700000000.100", "c d"),
        ("1700000000.10000000000000000000000001", "c d"),
        ("1700000000.29", "d"),
        ("1700000000.30", ""),
        ("1700000001", ""),
        ("4102405200000", ""),
        ("99999999999999999999999999999.99", ""),
    ] {
        let query = BsoQuery { newer: Some(bound(newer)), ..BsoQuery::default() };
        assert_eq!(selected(&user, &query).await, expected, "newer={newer}");
    }
}

/// Likewise.
pub async fn older_is_strictly_smaller(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    for (older, expected) in [
        ("0", ""),
        ("1700000000", ""),
        ("1700000000.00000000000000000000000001", "a"),
        ("1700000000.1", "a"),
        ("1700000000.10", "a"),
        ("1700000000.100", "a"),
        ("1700000000.1001", "a b"),
        ("1700000000.101", "a b"),
        ("1700000000.299999", "a b c"),
        ("1700000000.3", "a b c"),
        ("1700000000.31", "a b c d"),
        ("4102405200000", "a b c d"),
        ("99999999999999999999999999999.99", "a b c d"),
    ] {
        let query = BsoQuery { older: Some(bound(older)), ..BsoQuery::default() };
        assert_eq!(selected(&user, &query).await, expected, "older={older}");
    }
}

/// All that a query says holds at once.
pub async fn filters_narrow_each_other(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    let query =
        BsoQuery { newer: Some(bound("1700000000")), older: Some(bound("1700000000.3")), ..sorted_by(Sort::Newest) };
    assert_eq!(selected(&user, &query).await, "c b");
    let query = BsoQuery { ids: Some(vec![id("a"), id("b"), id("d")]), ..query };
    assert_eq!(selected(&user, &query).await, "b");
    let query = BsoQuery { newer: Some(bound("1700000000.2")), older: Some(bound("1700000000.2")), ..query };
    assert_eq!(selected(&user, &query).await, "");
}

/// `newer` with the collection's own time is what a client asks on every sync.
pub async fn nothing_is_newer_than_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    let first = user.collection_time("c").await;
    let newer = |time: SyncTimestamp| BsoQuery { newer: Some(time.into()), ..BsoQuery::default() };
    assert_eq!(selected(&user, &newer(first)).await, "");
    user.put("c", change("b").payload("x")).await;
    assert_eq!(selected(&user, &newer(first)).await, "b");
}

/// Those that are there; asked for twice, given once.
pub async fn ids_select_the_records_they_name(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    let by_ids = |ids: &[&str]| BsoQuery { ids: Some(ids.iter().map(|key| id(key)).collect()), ..BsoQuery::default() };
    assert_eq!(selected(&user, &by_ids(&["c"])).await, "c");
    assert_eq!(selected(&user, &by_ids(&["d", "absent", "a"])).await, "a d", "in the order of the sort");
    assert_eq!(selected(&user, &by_ids(&["b", "b", "b"])).await, "b");
    assert_eq!(selected(&user, &by_ids(&["absent"])).await, "");
    assert_eq!(selected(&user, &by_ids(&["A", " a", "a "])).await, "");
}

/// It is not as no list.
pub async fn an_empty_list_of_ids_selects_nothing(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    let page = user.read("c", &BsoQuery { ids: Some(Vec::new()), ..BsoQuery::default() }).await;
    assert_eq!((page.bsos, page.next), (Vec::new(), None));
    assert_eq!(page.last_modified, user.collection_time("c").await);
    let limited = BsoQuery { ids: Some(Vec::new()), limit: Some(10), sort: Sort::Index, ..BsoQuery::default() };
    assert_eq!(selected(&user, &limited).await, "");
}

/// As many as one request may name.
pub async fn a_hundred_ids_select_a_hundred_records(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let keys: Vec<String> = (0..150).map(|n| format!("{{{n:03}}}")).collect();
    user.post("c", keys.iter().map(|key| change(key)).collect()).await;
    let ids: Vec<BsoId> = keys.iter().rev().take(100).map(|key| id(key)).collect();
    let page = user.read("c", &BsoQuery { ids: Some(ids), ..BsoQuery::default() }).await;
    assert_eq!(ids_of(&page.bsos), keys[50..].iter().map(String::as_str).collect::<Vec<_>>());
}

/// By time, with ties broken by id in the order's own direction.
pub async fn the_orders_by_time_are_each_others_reverse(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["m", "a", "Z", "z", "~", " "].map(change).to_vec()).await;
    fixture.clock.advance(1000);
    user.post("c", ["y", "B", "b"].map(change).to_vec()).await;
    user.put("c", change("a").payload("again")).await;
    let oldest = "  Z m z ~ B b y a";
    assert_eq!(selected(&user, &sorted_by(Sort::Oldest)).await, oldest);
    assert_eq!(selected(&user, &BsoQuery::default()).await, oldest, "the order where none is named");
    assert_eq!(selected(&user, &sorted_by(Sort::Newest)).await, "a y b B ~ z m Z  ".to_owned());
}

/// By sortindex descending, none last, ties by id descending; time does not matter.
pub async fn the_order_by_sortindex_has_none_last(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for (key, sortindex) in [("a", Some(0)), ("b", None), ("c", Some(-999_999_999)), ("d", Some(999_999_999))] {
        let written = sortindex.map_or_else(|| change(key), |sortindex| change(key).sortindex(sortindex));
        user.put("c", written).await;
    }
    user.post("c", vec![change("e"), change("f").sortindex(0), change("E").sortindex(-1), change("g").sortindex(1)])
        .await;
    assert_eq!(selected(&user, &sorted_by(Sort::Index)).await, "d g f a E c e b");
    user.put("c", change("d").null_sortindex()).await;
    assert_eq!(selected(&user, &sorted_by(Sort::Index)).await, "g f a E c e d b");
}

/// With a next page only where more match.
pub async fn a_limit_is_kept_to(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    for (limit, expected, more) in [
        (1, "a", true),
        (3, "a b c", true),
        (4, "a b c d", false),
        (5, "a b c d", false),
        (i64::MAX as u64 - 1, "a b c d", false),
        (i64::MAX as u64, "a b c d", false),
        (u64::MAX, "a b c d", false),
    ] {
        let query = BsoQuery { limit: Some(limit), ..BsoQuery::default() };
        let page = user.read("c", &query).await;
        assert_eq!((ids_of(&page.bsos).join(" ").as_str(), page.next.is_some()), (expected, more), "limit={limit}");
    }
    // What the filter leaves out does not make a next page.
    let query = BsoQuery { limit: Some(2), older: Some(bound("1700000000.2")), ..BsoQuery::default() };
    assert_eq!(user.read("c", &query).await.next, None);
}

/// No records, and no next page.
pub async fn a_limit_of_zero_gives_nothing(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
        let page = user.read("c", &BsoQuery { limit: Some(0), ..sorted_by(sort) }).await;
        assert_eq!((page.bsos, page.next), (Vec::new(), None), "{sort:?}");
        assert_eq!(page.last_modified, user.collection_time("c").await);
    }
}

/// Complete, however many records there are.
pub async fn a_read_without_limit_gives_all(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for part in 0..5 {
        user.post("c", (0..700).map(|n| change(&format!("{part}-{n:03}")).payload("x".repeat(300))).collect()).await;
    }
    for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
        let page = user.read("c", &sorted_by(sort)).await;
        assert_eq!((page.bsos.len(), page.next), (3500, None));
    }
}

/// A missing collection reads as an empty one that was never modified; one that was emptied has its time.
pub async fn a_read_is_stamped_by_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for query in [BsoQuery::default(), BsoQuery { ids: Some(vec![id("a")]), limit: Some(3), ..sorted_by(Sort::Index) }]
    {
        let page = user.read("absent", &query).await;
        assert_eq!((page.last_modified, page.bsos, page.next), (SyncTimestamp::ZERO, Vec::new(), None));
    }
    let first = user.put("c", change("a")).await;
    user.put("other", change("a")).await;
    assert_eq!(user.read("c", &BsoQuery::default()).await.last_modified, first);
    assert_eq!(user.read("absent", &BsoQuery::default()).await.last_modified, SyncTimestamp::ZERO);
    let emptied = user.delete_bsos("c", &["a"]).await;
    assert_eq!(user.read("c", &BsoQuery::default()).await.last_modified, emptied);
    user.delete_collection("c").await;
    assert_eq!(user.read("c", &BsoQuery::default()).await.last_modified, SyncTimestamp::ZERO);
}

/// Takes one item and fails at the second.
struct Full(usize);

impl<T> Sink<T> for Full {
    fn push(&mut self, _item: T) -> io::Result<()> {
        self.0 += 1;
        if self.0 > 1 { Err(io::Error::other("full")) } else { Ok(()) }
    }
}

/// The error is told, nothing more is handed over, and the database goes on.
pub async fn a_receiver_that_fails_ends_the_read(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = four_records(&fixture).await;
    let (at, query) = (user.at("c"), BsoQuery::default());
    for _ in 0..20 {
        let mut sink = Full(0);
        let ended = user.db.get_bsos(&at, &query, Precondition::None, &mut sink as &mut dyn Sink<Bso>).await;
        assert_is!(ended, Err(DbError::Output(_)));
        assert_eq!(sink.0, 2);
        let mut sink = Full(0);
        let ended = user.db.get_bso_ids(&at, &query, Precondition::None, &mut sink as &mut dyn Sink<BsoId>).await;
        assert_is!(ended, Err(DbError::Output(_)));
        assert_eq!(sink.0, 2);
    }
    assert_eq!(selected(&user, &query).await, "a b c d");
    user.put("c", change("e")).await;
}
