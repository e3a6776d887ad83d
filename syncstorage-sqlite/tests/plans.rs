//! How SQLite carries out the statements of this crate: each by an index, with statistics and without.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use diesel::connection::{
    Connection, Instrumentation, InstrumentationEvent, SimpleConnection, set_default_instrumentation,
};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation, sql};
use syncstorage_db_common::testing::{Fields, ManualClock, TestUser, change, id};
use syncstorage_db_common::{
    BATCH_LIFETIME_MS, BsoQuery, Cursor, DbOptions, PurgeBudget, Quota, Sort, SyncTimestamp, UserId,
};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};
use tempfile::TempDir;

/// The texts of all statements that the connections of this process have run.
static RUN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn recorder() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(|event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            // Behind the text stand the values, which are no part of the plan.
            let query = query.to_string();
            let text = query.split(" -- binds: ").next().unwrap_or(&query);
            RUN.lock().unwrap().insert(text.to_owned());
        }
    }))
}

/// All that a query can ask for.
fn queries() -> Vec<BsoQuery> {
    let mut queries = Vec::new();
    for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
        for bits in 0..32 {
            let given = |bit: u32| bits & (1 << bit) != 0;
            let bound = |text: &str| text.parse().unwrap();
            // In the middle between the two bounds: neither of them says nothing.
            let middle = SyncTimestamp::from_ms(ManualClock::START_MS + 100);
            let after = match sort {
                Sort::Newest | Sort::Oldest => Cursor::Modified(middle, id("b")),
                Sort::Index => Cursor::Index(Some(1), id("b")),
            };
            queries.push(BsoQuery {
                ids: given(0).then(|| vec![id("a"), id("b")]),
                newer: given(1).then(|| bound("1700000000.05")),
                older: given(2).then(|| bound("1700000000.15")),
                after: given(3).then_some(after),
                limit: given(4).then_some(3),
                sort,
            });
        }
    }
    queries
}

/// Does everything that there is to do, so that every statement is run.
async fn do_everything(path: &Path) {
    let engine =
        SqliteEngine::open(&SqliteLocation::File(path.into()), EngineOptions::default(), vec![(COMPONENT, MIGRATIONS)]);
    let clock = ManualClock::default();
    let quota = Some(Quota { limit: 1_000_000, enforce: true });
    let db = SqliteDb::new(engine.unwrap(), DbOptions { clock: clock.clock(), quota, ..DbOptions::default() });
    let user = TestUser { db: std::sync::Arc::new(db), id: UserId::try_from(7).unwrap() };
    for n in 0..30 {
        clock.set(ManualClock::START_MS + 10 * n);
        user.put("c", change(&n.to_string()).payload("x").sortindex(1)).await;
    }
    user.put("c", change("1").payload("y")).await;
    user.put("c", change("1").sortindex(2).ttl(60)).await;
    user.post("c", vec![change("a").ttl(1), change("b").ttl(1).payload("x")]).await;
    for query in queries() {
        user.read("c", &query).await;
        user.db.get_bso_ids(&user.at("c"), &query, Default::default(), &mut Vec::new()).await.unwrap();
    }
    // So many that another index is the better one for some.
    for n in 0..3 {
        clock.set(ManualClock::START_MS + 100 + 10 * n);
        user.post("many", (0..600).map(|key| change(&format!("{n}-{key}"))).collect()).await;
    }
    for query in queries() {
        user.read("many", &query).await;
    }
    user.everything().await;
    user.get("c", "1").await.unwrap();
    for collection in ["c", "new"] {
        let batch = user.create_batch(collection, vec![change("1").payload("batch")]).await;
        user.append(collection, &batch, vec![change("2").payload("batch")]).await;
        user.commit(collection, &batch, vec![change("3")]).await;
    }
    user.delete_bso("c", "2").await;
    user.delete_bsos("c", &["3", "4"]).await;
    user.delete_collection("new").await;
    user.create_batch("c", vec![change("1"), change("2")]).await;
    user.create_batch("never-made", vec![change("1")]).await;
    clock.advance(BATCH_LIFETIME_MS + 1);
    for rows in [1, 1, 1, 100] {
        user.db.purge(PurgeBudget { rows }).await.unwrap();
    }
    user.db.check().await.unwrap();
    user.delete_store().await;
}

/// The plan of a statement, a step a line.
fn plan(conn: &mut SqliteConnection, text: &str) -> Vec<String> {
    let mut explain = sql::<(BigInt, BigInt, BigInt, Text)>(format!("EXPLAIN QUERY PLAN {text}"));
    for _ in text.matches('?') {
        explain = explain.bind(0);
    }
    let rows: Vec<(i64, i64, i64, String)> = explain.rows(conn).unwrap();
    rows.into_iter().map(|(_, _, _, detail)| detail).collect()
}

/// What is wrong with a plan, if anything is.
fn fault(text: &str, plan: &[String]) -> Option<&'static str> {
    // What a client sends in a list, and the users: the one search that goes over all of these is the purge's.
    let may_be_scanned = ["SCAN json_each", "SCAN stores", "SCAN CONSTANT ROW", "SCAN (subquery"];
    let searches_bsos = |step: &&String| step.starts_with("SEARCH bsos ") || step.starts_with("SEARCH b ");
    if plan.iter().any(|step| step.starts_with("SCAN") && !may_be_scanned.iter().any(|scan| step.starts_with(scan))) {
        return Some("goes over a whole table");
    }
    if text.contains("collection_id = ?")
        && !plan.iter().filter(searches_bsos).all(|step| step.contains("collection_id=?") || step.contains("rowid=?"))
    {
        return Some("goes over records of other collections");
    }
    if text.contains("batch_bsos")
        && text.contains("batch_id = ?")
        && !plan.iter().any(|step| step.contains("batch_id=?"))
    {
        return Some("does not begin with the batch");
    }
    if text.contains("json_each") && !plan.iter().any(|step| step.contains("id=?)")) {
        return Some("does not look the ids up");
    }
    let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY"));
    let few = text.contains("json_each");
    let by_another_index = text.contains("bsos_modified") && text.contains("ORDER BY rank");
    if sorts && !few && !by_another_index {
        return Some("sorts");
    }
    let batch_joins = text.contains("batch_bsos") && text.contains("collection_id = ?");
    if batch_joins && plan.iter().filter(searches_bsos).any(|step| !step.contains("id=?)")) {
        return Some("does not look each record of the batch up");
    }
    if text.contains(", id) >") || text.contains(", id) <") {
        // The records of one POST have one time, and most have no sortindex: a place in the order is a time and an id.
        let places = ["(modified,id)>(?,?)", "(modified,id)<(?,?)", "(rank,id)<(?,?)"];
        if !few && !by_another_index && !plan.iter().any(|step| places.iter().any(|place| step.contains(place))) {
            return Some("does not begin at the place of the cursor");
        }
    }
    None
}

/// Two databases: one without statistics, as a server keeps it, and one that somebody has analyzed while it held many
/// records of few users and few batches, so that SQLite thinks little of the other indexes.
fn databases(path: &Path) -> [(&'static str, SqliteConnection); 2] {
    let open = |path: &Path| SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    let copy = path.with_extension("analyzed");
    let mut plain = open(path);
    plain.batch_execute(&format!("VACUUM INTO '{}'", copy.display())).unwrap();
    let mut analyzed = open(&copy);
    analyzed
        .batch_execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
             INSERT INTO bsos (user_id, collection_id, id, modified, sortindex, expiry, payload_size, payload)
             SELECT iif(n < 19000, 1, n), n % 3, n, n / 5000, n % 2, iif(n % 10, NULL, n), 1, 'x' FROM n;
             INSERT INTO stores SELECT DISTINCT user_id, 1 FROM bsos;
             INSERT INTO batches (user_id, collection_id, created, records, bytes) VALUES (1, 1, 1, 1, 1);
             INSERT INTO batch_bsos (batch_id, id, given, payload_size) SELECT max(batch_id), 'x', 0, 0 FROM batches;
             ANALYZE",
        )
        .unwrap();
    [("without statistics", plain), ("analyzed", analyzed)]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_about_records_finds_them_by_the_right_index() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sync.db");
    set_default_instrumentation(recorder).unwrap();
    do_everything(&path).await;
    set_default_instrumentation(|| None).unwrap();
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let run = RUN.lock().unwrap().clone();
    let statements: Vec<&String> = run
        .iter()
        .filter(|text| ["bsos", "batches"].iter().any(|table| text.contains(table)))
        .filter(|text| verbs.iter().any(|verb| text.trim_start().starts_with(verb)))
        .collect();
    assert!(statements.len() > 150, "only {} statements were seen", statements.len());
    for index in ["bsos_modified", "bsos_rank"] {
        let is_seen = |text: &&String| text.contains("modified >") && text.contains("ORDER BY rank");
        assert!(statements.iter().any(|text| is_seen(text) && text.contains(index)), "no statement by {index}");
    }
    let mut wrong = Vec::new();
    for (state, mut conn) in databases(&path) {
        for text in &statements {
            let plan = plan(&mut conn, text);
            assert!(!plan.is_empty() || text.trim_start().starts_with("INSERT"), "no plan of {text}");
            if let Some(fault) = fault(text, &plan) {
                wrong.push(format!("{state}, a statement {fault}: {text}\n    {}", plan.join("\n    ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} statements:\n{}", wrong.len(), wrong.join("\n"));
}
