//! Pages: no record twice, none left out, whatever is written meanwhile.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Page, TestUser, change, id, ids_of};
use crate::{Bso, BsoChange, BsoQuery, Cursor, DbError, Precondition, Sort};

const SORTS: [Sort; 3] = [Sort::Newest, Sort::Oldest, Sort::Index];

/// Reads page by page to the end.
async fn pages(user: &TestUser, query: &BsoQuery, limit: u64) -> Vec<Page> {
    let mut query = BsoQuery { limit: Some(limit), ..query.clone() };
    let mut pages = Vec::new();
    loop {
        let page = user.read("c", &query).await;
        query.after.clone_from(&page.next);
        pages.push(page);
        if query.after.is_none() {
            return pages;
        }
        assert!(pages.len() < 1000, "the pages have no end");
    }
}

/// Reads page by page, and checks that the pages are full and give what one read of all gives.
async fn assert_pages_are_all(user: &TestUser, query: &BsoQuery, limit: u64) -> Vec<Bso> {
    let whole = user.read("c", query).await;
    let pages = pages(user, query, limit).await;
    for (number, page) in pages.iter().enumerate() {
        assert_eq!(page.last_modified, whole.last_modified, "all pages have the collection's time");
        let expected = whole.bsos.len() - number * limit as usize;
        assert_eq!(page.bsos.len(), expected.min(limit as usize), "page {number} of {query:?}");
    }
    let paged: Vec<Bso> = pages.into_iter().flat_map(|page| page.bsos).collect();
    assert_eq!(paged, whole.bsos, "{query:?} by {limit}");
    paged
}

fn sorted_by(sort: Sort) -> BsoQuery {
    BsoQuery { sort, ..BsoQuery::default() }
}

/// Ids in no order, some differing by case only.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{}{:03}", ["k", "K", "{", " "][n % 4], (n * 37) % 1000)).collect()
}

/// As a client uploads them: time says nothing of where a page ends.
pub async fn records_of_one_time_are_paged_without_gaps(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", many(250).iter().map(|key| change(key).payload(key.as_str())).collect()).await;
    for sort in SORTS {
        for limit in [60, 25, 250, 249, 1000] {
            let bsos = assert_pages_are_all(&user, &sorted_by(sort), limit).await;
            assert_eq!(bsos.len(), 250);
        }
    }
}

/// All records with one sortindex, some with none.
pub async fn records_of_one_sortindex_are_paged_without_gaps(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for part in many(60).chunks(20) {
        user.post("c", part.iter().map(|key| change(key).sortindex(100)).collect()).await;
    }
    user.post("c", (0..60).map(|n| change(&format!("none{n}"))).collect()).await;
    user.post("c", (0..30).map(|n| change(&format!("low{n}")).sortindex(-(n / 7))).collect()).await;
    for sort in SORTS {
        for limit in [1, 7, 25, 60] {
            assert_eq!(assert_pages_are_all(&user, &sorted_by(sort), limit).await.len(), 150);
        }
    }
}

/// A place in the order is compared byte for byte, as the order itself is.
pub async fn ids_that_a_collation_would_confuse_are_paged_one_by_one(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut ids = ["a", "A", "a ", "a  ", "B", "b", "_", "~", "Z", "z", "-", "0", "00", "{", " ", "  ", "%", "'"];
    user.post("c", ids.map(|key| change(key).sortindex(3)).to_vec()).await;
    ids.sort_unstable();
    let ascending = assert_pages_are_all(&user, &sorted_by(Sort::Oldest), 1).await;
    assert_eq!(ids_of(&ascending), ids);
    ids.reverse();
    for sort in [Sort::Newest, Sort::Index] {
        assert_eq!(ids_of(&assert_pages_are_all(&user, &sorted_by(sort), 1).await), ids, "{sort:?}");
    }
}

/// The filters hold on every page.
pub async fn a_filtered_read_is_paged_as_well(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let mut times = Vec::new();
    for n in 0..40 {
        times.push(user.put("c", change(&format!("{n:02}")).sortindex(n % 5)).await);
        fixture.clock.advance(10 * i64::from(n % 3));
    }
    for sort in SORTS {
        let newer = BsoQuery { newer: Some(times[9].into()), ..sorted_by(sort) };
        assert_eq!(assert_pages_are_all(&user, &newer, 7).await.len(), 30);
        let between = BsoQuery { older: Some(times[30].into()), ..newer };
        assert_eq!(assert_pages_are_all(&user, &between, 7).await.len(), 20);
        let ids = (0..40).step_by(2).map(|n| id(&format!("{n:02}"))).collect();
        let named = BsoQuery { ids: Some(ids), ..between };
        assert_eq!(assert_pages_are_all(&user, &named, 3).await.len(), 10);
    }
}

/// The limit is no part of what the cursor is bound to.
pub async fn the_limit_may_change_from_page_to_page(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", (0..30).map(|n| change(&format!("{n:02}"))).collect()).await;
    for sort in SORTS {
        let whole = user.read("c", &sorted_by(sort)).await.bsos;
        let mut query = sorted_by(sort);
        let mut paged = Vec::new();
        for limit in [Some(1), Some(10), Some(3), None] {
            query.limit = limit;
            let page = user.read("c", &query).await;
            paged.extend(page.bsos);
            query.after = page.next;
        }
        assert_eq!((paged, query.after), (whole, None), "{sort:?}");
    }
}

/// It says which record the page ended with, so that it can be carried in an opaque token.
pub async fn the_cursor_names_the_last_record_of_the_page(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", vec![change("a").sortindex(1), change("b").sortindex(1), change("n"), change("m")]).await;
    for sort in SORTS {
        for limit in 1..4 {
            let page = user.read("c", &BsoQuery { limit: Some(limit), ..sorted_by(sort) }).await;
            let last = page.bsos.last().unwrap();
            assert_eq!(page.next, Some(Cursor::of(sort, &last.id, last.modified, last.sortindex)));
        }
    }
}

/// A cursor is a place, not a record: it holds though the record it names has gone, or never was.
pub async fn a_page_begins_after_a_record_that_has_gone(backend: &Backend) {
    let fixture = backend.fixture().await;
    for sort in SORTS {
        let user = fixture.user();
        user.post("c", ["a", "b", "c", "d", "e"].map(|key| change(key).sortindex(1)).to_vec()).await;
        let first = user.read("c", &BsoQuery { limit: Some(2), ..sorted_by(sort) }).await;
        let [kept, gone] = &first.bsos[..] else { panic!("{first:?}") };
        user.delete_bsos("c", &[gone.id.as_str()]).await;
        let rest = user.read("c", &BsoQuery { after: first.next, ..sorted_by(sort) }).await;
        assert_eq!((rest.bsos.len(), rest.next), (3, None), "{sort:?}");
        assert!(rest.bsos.iter().all(|bso| bso.id != kept.id && bso.id != gone.id), "{sort:?}");
        let beyond = match sort {
            Sort::Newest => Cursor::Modified(crate::SyncTimestamp::ZERO, id("x")),
            Sort::Oldest => Cursor::Modified(crate::SyncTimestamp::from_ms(i64::MAX / 2), id("x")),
            Sort::Index => Cursor::Index(None, id(" ")),
        };
        let none = user.read("c", &BsoQuery { after: Some(beyond), ..sorted_by(sort) }).await;
        assert_eq!((none.bsos, none.next), (Vec::new(), None), "{sort:?}");
    }
}

/// Between two pages others write new records, change and delete old ones. Those that nobody touched come exactly
/// once, and none comes twice but one that was written meanwhile.
pub async fn writes_between_pages_neither_skip_nor_repeat_a_record(backend: &Backend) {
    let fixture = backend.fixture().await;
    for sort in SORTS {
        for one_time in [true, false] {
            let user = fixture.user();
            let untouched: Vec<String> = (0..100).map(|n| format!("u{:02}", (n * 37) % 100)).collect();
            let touched: Vec<String> = (0..100).map(|n| format!("t{:02}", (n * 53) % 100)).collect();
            let written: Vec<BsoChange> = untouched
                .iter()
                .zip(&touched)
                .enumerate()
                .flat_map(|(n, pair)| [pair.0, pair.1].map(|key| change(key).sortindex(n as i32 % 9)))
                .collect();
            for part in written.chunks(if one_time { 200 } else { 5 }) {
                user.post("c", part.to_vec()).await;
                fixture.clock.advance(20);
            }
            let mut query = BsoQuery { limit: Some(17), ..sorted_by(sort) };
            let mut seen = Vec::new();
            for round in 0.. {
                let page = user.read("c", &query).await;
                seen.extend(ids_of(&page.bsos).into_iter().map(str::to_owned));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
                assert!(round < 60, "the pages have no end");
                let keys = touched.iter().skip(round * 8 % 96);
                let [moved, raised, deleted] = [0, 1, 2].map(|n| keys.clone().nth(n).unwrap());
                let new = change(&format!("new{round}")).sortindex(4);
                user.post("c", vec![change(moved).payload("again"), change(raised).sortindex(8), new]).await;
                user.delete_bsos("c", &[deleted]).await;
            }
            let mut found: Vec<_> = seen.iter().filter(|key| key.starts_with('u')).collect();
            found.sort();
            let mut expected: Vec<_> = untouched.iter().collect();
            expected.sort();
            assert_eq!(found, expected, "{sort:?}, all at one time: {one_time}");
        }
    }
}

/// Who pages from the oldest on also gets what is written meanwhile: it moves to the end.
pub async fn paging_from_the_oldest_sees_what_is_written_meanwhile(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["a", "b", "c", "d"].map(change).to_vec()).await;
    let mut query = BsoQuery { limit: Some(2), ..BsoQuery::default() };
    let first = user.read("c", &query).await;
    assert_eq!(ids_of(&first.bsos), ["a", "b"]);
    user.put("c", change("a").payload("again")).await;
    user.put("c", change("d").payload("again")).await;
    user.put("c", change("new")).await;
    query.after = first.next;
    let second = user.read("c", &query).await;
    assert_eq!(ids_of(&second.bsos), ["c", "a"]);
    query.after = second.next;
    let third = user.read("c", &query).await;
    assert_eq!((ids_of(&third.bsos), third.next), (vec!["d", "new"], None));
}

/// How a client makes sure that all its pages are of one state.
pub async fn a_page_may_be_bound_to_the_time_of_the_first(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    user.post("c", ["a", "b", "c"].map(change).to_vec()).await;
    let mut query = BsoQuery { limit: Some(1), ..BsoQuery::default() };
    let first = user.read("c", &query).await;
    let unchanged = Precondition::UnmodifiedSince(first.last_modified.into());
    query.after = first.next;
    let second = user.try_read("c", &query, unchanged).await.unwrap();
    assert_eq!(second.last_modified, first.last_modified);
    let now = user.put("c", change("d")).await;
    query.after = second.next;
    let refused = user.try_read("c", &query, unchanged).await;
    assert_is!(refused, Err(DbError::PreconditionFailed(time)) if time == now);
}
