//! Tests: how the database carries the lists out, on a collection of 50,000 records of one time.

use network_engine::{EngineOptions, Location, PostgresEngine};
use syncstorage_db_common::{CollectionName, Sort};
use testdb::Database;

use crate::list::{Columns, text};
use crate::read::Place;
use crate::{COMPONENT, MIGRATIONS};

const RECORDS: &str = "
    INSERT INTO user_collections VALUES (1, 7, '2023-11-14 22:13:20+00'), (2, 7, '2023-11-14 22:13:20+00');
    INSERT INTO bsos
    SELECT 1, 7, lpad(i::text, 12, '0'), i % 100, repeat('x', 400), '2023-11-14 22:13:20+00', '2090-01-01'
    FROM generate_series(0, 49999) i;";

/// A plan is made for the values that are at hand, or for any: after some uses the database takes the second kind where
/// it seems as good.
const MODES: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

async fn filled() -> Database {
    let database = testdb::postgres();
    let location: Location = database.url().parse().unwrap();
    PostgresEngine::open(&location, EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]).await.unwrap();
    database.execute(RECORDS);
    database
}

/// A list, and the values for it from `$6` on.
struct List<'a> {
    sort: Sort,
    by_ids: bool,
    place: Place<'a>,
    values: String,
}

impl List<'_> {
    fn new(sort: Sort, values: impl Into<String>) -> Self {
        Self { sort, by_ids: false, place: Place::Number(7), values: values.into() }
    }

    /// What the database did, line by line.
    fn explain(&self, database: &Database, mode: &str) -> Vec<String> {
        let text = text(Columns::All, self.sort, self.by_ids, self.place);
        let (kind, place) = match self.place {
            Place::Number(number) => ("integer", number.to_string()),
            Place::Name(name) => ("text", format!("'{name}'")),
        };
        let key = if self.sort == Sort::Index { "integer, text, timestamptz," } else { "timestamptz, text," };
        let ids = if self.by_ids { ", text[]" } else { "" };
        let rows = database.query(&format!(
            "DEALLOCATE ALL;
             SET plan_cache_mode = {mode};
             PREPARE list (bigint, {kind}, timestamptz, timestamptz, timestamptz, bigint, {key} timestamptz{ids})
                 AS {text};
             EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF)
             EXECUTE list (1, {place}, '2023-11-15', '-infinity', 'infinity', {})",
            self.values
        ));
        rows.into_iter().flatten().flatten().collect()
    }
}

/// The pages that the whole of a plan touched.
fn buffers(plan: &[String]) -> u64 {
    let line = plan.iter().find(|line| line.contains("Buffers: shared")).unwrap();
    line.split(['=', ' ']).filter_map(|part| part.parse::<u64>().ok()).sum()
}

const FIRST_OF_NEWEST: &str = "'infinity', '', '-infinity'";
const DEEP_IN_NEWEST: &str = "'2023-11-14 22:13:20+00', '000000000100', '-infinity'";
const FIRST_OF_OLDEST: &str = "'-infinity', '', 'infinity'";
const DEEP_IN_OLDEST: &str = "'2023-11-14 22:13:20+00', '000000049900', 'infinity'";

#[tokio::test]
async fn the_orders_by_time_walk_the_index_and_sort_nothing() {
    let database = filled().await;
    let bookmarks = CollectionName::new("bookmarks").unwrap();
    for analyzed in [false, true] {
        if analyzed {
            database.execute("ANALYZE");
        }
        for mode in MODES {
            for (sort, range) in [
                (Sort::Newest, FIRST_OF_NEWEST),
                (Sort::Newest, DEEP_IN_NEWEST),
                (Sort::Oldest, FIRST_OF_OLDEST),
                (Sort::Oldest, DEEP_IN_OLDEST),
            ] {
                for limit in ["61", "1001", "9223372036854775807"] {
                    for place in [Place::Number(7), Place::Name(&bookmarks)] {
                        let list = List { place, ..List::new(sort, format!("{limit}, {range}")) };
                        let plan = list.explain(&database, mode);
                        let shown = plan.join("\n");
                        assert!(!shown.contains("Sort"), "{mode}\n{shown}");
                        assert!(shown.contains("bsos_modified_idx"), "{mode}\n{shown}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_page_costs_the_same_at_any_depth() {
    let database = filled().await;
    database.execute("ANALYZE");
    for mode in MODES {
        for (sort, first, deep) in
            [(Sort::Newest, FIRST_OF_NEWEST, DEEP_IN_NEWEST), (Sort::Oldest, FIRST_OF_OLDEST, DEEP_IN_OLDEST)]
        {
            let pages = |range: &str| {
                let plan = List::new(sort, format!("61, {range}")).explain(&database, mode);
                (buffers(&plan), plan.join("\n"))
            };
            let ((first, _), (deep, plan)) = (pages(first), pages(deep));
            assert!(first > 3 && deep <= first + 5, "{first} pages at first, {deep} deep inside\n{plan}");
        }
    }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_looks_at_no_record() {
    let database = filled().await;
    for mode in MODES {
        let list = List::new(Sort::Oldest, format!("61, {FIRST_OF_OLDEST}"));
        let plan = list.explain(&database, mode).join("\n");
        assert!(!plan.contains("never executed"), "{plan}");
        let later = "'infinity', '2023-11-14 22:13:19+00'";
        let refused = database.query(&format!(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE list (1, 7, '2023-11-15', {later}, 61, {FIRST_OF_OLDEST})"
        ));
        let plan: Vec<String> = refused.into_iter().flatten().flatten().collect();
        assert!(plan.join("\n").contains("never executed"), "{plan:?}");
    }
}

#[tokio::test]
async fn ids_are_looked_up_one_by_one() {
    let database = filled().await;
    database.execute("ANALYZE");
    for mode in MODES {
        for (sort, range) in [
            (Sort::Newest, FIRST_OF_NEWEST),
            (Sort::Oldest, FIRST_OF_OLDEST),
            (Sort::Index, "2147483647, '', '-infinity', 'infinity'"),
        ] {
            let values = format!("9223372036854775807, {range}, '{{000000000100,000000049900,x}}'");
            let list = List { by_ids: true, ..List::new(sort, values) };
            let plan = list.explain(&database, mode);
            assert!(plan.join("\n").contains("bsos_pkey"), "{}", plan.join("\n"));
            assert!(buffers(&plan) < 40, "{}", plan.join("\n"));
        }
    }
}
