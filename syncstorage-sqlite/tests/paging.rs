//! Any place in a list with any bounds, compared with a filter that anybody can read.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::cmp::Ordering;
use std::sync::Arc;

use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncstorage_db_common::testing::{Backend, Fields, ManualClock, TestDb, change, id};
use syncstorage_db_common::{Bso, BsoQuery, Cursor, DbOptions, Sort, SyncTimestamp, TimeBound};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};

async fn open(options: DbOptions) -> TestDb {
    let location = SqliteLocation::Temporary;
    let engine = SqliteEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).unwrap();
    Arc::new(SqliteDb::new(engine, options)).into()
}

fn order(sort: Sort, a: &Bso, b: &Bso) -> Ordering {
    match sort {
        Sort::Oldest => (a.modified, a.id.as_str()).cmp(&(b.modified, b.id.as_str())),
        Sort::Newest => (b.modified, b.id.as_str()).cmp(&(a.modified, a.id.as_str())),
        // None is less than any sortindex.
        Sort::Index => (b.sortindex, b.id.as_str()).cmp(&(a.sortindex, a.id.as_str())),
    }
}

/// A record that stands where a cursor is.
fn at_place(cursor: &Cursor, like: &Bso) -> Bso {
    match cursor.clone() {
        Cursor::Modified(modified, id) => Bso { modified, id, ..like.clone() },
        Cursor::Index(sortindex, id) => Bso { sortindex, id, ..like.clone() },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_begins_at_the_tighter_of_its_bounds_whichever_that_is() {
    let fixture = Backend::new(open).fixture().await;
    let user = fixture.user();
    // Four times with three records each.
    for time in 0..4 {
        fixture.clock.set(ManualClock::START_MS + 100 * time);
        let records = ["a", "m", "z"].map(|key| match (time, key) {
            (0, _) | (_, "m") => change(&format!("{key}{time}")),
            _ => change(&format!("{key}{time}")).sortindex(i32::try_from(time / 2).unwrap()),
        });
        user.post("c", records.to_vec()).await;
    }
    let all = user.all("c").await;
    assert_eq!(all.len(), 12);
    let times = [-100, 0, 50, 100, 250, 300, 400].map(|ms| SyncTimestamp::from_ms(ManualClock::START_MS + ms));
    let bounds: Vec<Option<TimeBound>> =
        std::iter::once(None).chain(times.map(|time| Some(time.to_string().parse().unwrap()))).collect();
    let mut compared = 0;
    for sort in [Sort::Oldest, Sort::Newest, Sort::Index] {
        let cursors: Vec<Cursor> = match sort {
            Sort::Index => [None, Some(-1), Some(0), Some(1), Some(2)]
                .into_iter()
                .flat_map(|place| ["a0", "m1", "z9"].map(|key| Cursor::Index(place, id(key))))
                .collect(),
            _ => times
                .into_iter()
                .flat_map(|time| ["a0", "m1", "z9"].map(|key| Cursor::Modified(time, id(key))))
                .collect(),
        };
        for after in std::iter::once(None).chain(cursors.into_iter().map(Some)) {
            for (newer, older) in bounds.iter().flat_map(|newer| bounds.iter().map(move |older| (*newer, *older))) {
                let mut expected: Vec<Bso> = all
                    .iter()
                    .filter(|bso| newer.is_none_or(|newer| bso.modified.as_ms() > newer.floor_ms()))
                    .filter(|bso| older.is_none_or(|older| bso.modified.as_ms() < older.ceil_ms()))
                    .filter(|bso| after.as_ref().is_none_or(|place| order(sort, &at_place(place, bso), bso).is_lt()))
                    .cloned()
                    .collect();
                expected.sort_by(|a, b| order(sort, a, b));
                let query = BsoQuery { newer, older, sort, after: after.clone(), ..BsoQuery::default() };
                assert_eq!(user.read("c", &query).await.bsos, expected, "{query:?}");
                compared += expected.len();
            }
        }
    }
    assert!(compared > 5000, "only {compared} records were compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_sortindex_are_the_same_whether_few_records_are_newer_or_very_many() {
    let fixture = Backend::new(open).fixture().await;
    let user = fixture.user();
    for time in 0..3 {
        fixture.clock.set(ManualClock::START_MS + 100 * time);
        let records = (0..700).map(|n| match n % 3 {
            0 => change(&format!("{time}-{n}")),
            place => change(&format!("{time}-{n}")).sortindex(place),
        });
        user.post("c", records.collect()).await;
    }
    let all = user.all("c").await;
    // 2100 records are newer, 1400, 700, and none.
    for (ms, count) in [(-100, 2100), (0, 1400), (100, 700), (200, 0)] {
        let newer = Some(SyncTimestamp::from_ms(ManualClock::START_MS + ms).to_string().parse::<TimeBound>().unwrap());
        let mut expected: Vec<Bso> =
            all.iter().filter(|bso| bso.modified.as_ms() > ManualClock::START_MS + ms).cloned().collect();
        expected.sort_by(|a, b| order(Sort::Index, a, b));
        assert_eq!(expected.len(), count);
        let mut query = BsoQuery { newer, sort: Sort::Index, limit: Some(300), ..BsoQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = user.read("c", &query).await;
            seen.extend(page.bsos);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, expected);
    }
}
