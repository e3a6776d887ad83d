//! The engine on real servers: what holds for both kinds, and what happens when a server goes away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join_all;
use network_engine::{Connection, Engine, EngineOptions, Location, OpenError};
use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};
use testdb::{Database, Options, Server};

use crate::kind::{Kind, on_both};

on_both! {
    an_engine_opens_an_empty_database_and_opens_it_again
    several_processes_may_open_a_database_at_once
    a_schema_of_a_newer_version_is_refused
    rows_that_others_noted_as_migrations_are_not_judged
    what_would_be_done_is_told_and_not_done
    a_transaction_is_committed_as_a_whole_or_not_at_all
    what_is_sent_with_the_commit_belongs_to_the_transaction
    a_failure_in_what_is_sent_with_the_commit_commits_nothing
    a_request_that_is_cut_off_leaves_no_transaction_behind
    a_deadlock_is_tried_again
    a_lock_that_is_not_given_back_is_waited_for_within_a_bound
    a_pool_that_is_exhausted_is_unavailable_after_the_wait
    the_secret_is_claimed_once_and_rotated_from_a_known_one
    a_server_that_was_restarted_costs_no_request
    a_server_that_is_away_is_unavailable_and_back_by_itself
    what_keeps_a_program_out_is_told_apart
    a_unix_socket_will_do
    a_check_asks_for_a_table_and_for_a_write
    a_connection_waits_for_a_lock_as_long_as_for_itself
}

fn location(url: &str) -> Location {
    url.parse().unwrap()
}

async fn open_with<C: Kind>(url: &str, options: EngineOptions) -> Arc<Engine<C>> {
    Engine::open(&location(url), options, Vec::new()).await.unwrap()
}

async fn open<C: Kind>(database: &Database) -> Arc<Engine<C>> {
    open_with(database.url(), EngineOptions::default()).await
}

fn count(database: &Database, table: &str) -> String {
    database.query(&format!("SELECT count(*) FROM {table}")).remove(0).remove(0).unwrap()
}

async fn an_engine_opens_an_empty_database_and_opens_it_again<C: Kind>() {
    let database = C::database();
    let engine = open::<C>(&database).await;
    engine.check().await.unwrap();
    assert_eq!(engine.status().max, EngineOptions::default().max_size);
    assert_eq!((engine.status().in_use, engine.status().idle), (0, 1));
    open::<C>(&database).await.check().await.unwrap();
    assert_eq!(count(&database, "syncserver_schema"), "1");
}

async fn several_processes_may_open_a_database_at_once<C: Kind>() {
    let database = C::database();
    let engines = join_all((0..8).map(|_| open::<C>(&database))).await;
    for engine in engines {
        engine.check().await.unwrap();
    }
    assert_eq!(count(&database, "syncserver_schema"), "1");
}

async fn a_schema_of_a_newer_version_is_refused<C: Kind>() {
    let database = C::database();
    open::<C>(&database).await;
    database.execute("INSERT INTO syncserver_schema (version) VALUES ('engine-0999')");
    let refused = Engine::<C>::open(&location(database.url()), EngineOptions::default(), Vec::new()).await;
    assert!(matches!(refused.err(), Some(OpenError::TooNew { found, .. }) if found == "engine-0999"));
}

async fn rows_that_others_noted_as_migrations_are_not_judged<C: Kind>() {
    let database = C::database();
    database.execute(
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY, run_on TIMESTAMP);
         INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000'), ('engine-0998')",
    );
    open::<C>(&database).await.check().await.unwrap();
    assert_eq!(count(&database, "__diesel_schema_migrations"), "2");
}

async fn what_would_be_done_is_told_and_not_done<C: Kind>() {
    let database = C::database();
    let pending = Engine::<C>::pending(&location(database.url()), Vec::new()).await.unwrap();
    assert_eq!(pending, ["engine-0001"]);
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'syncserver%'
                  AND table_schema IN (SELECT table_schema FROM information_schema.tables WHERE table_name = 'here')";
    database.execute("CREATE TABLE here (a INT)");
    assert_eq!(database.query(tables)[0][0].as_deref(), Some("0"));
    open::<C>(&database).await;
    assert_eq!(database.query(tables)[0][0].as_deref(), Some("2"));
    let pending = Engine::<C>::pending(&location(database.url()), Vec::new()).await.unwrap();
    assert!(pending.is_empty());
}

const TABLE: &str = "CREATE TABLE numbers (number INT PRIMARY KEY, value INT NOT NULL)";

/// As an argument to the runners: a statement, and how the work ends.
async fn insert<C: Kind>(conn: &mut Connection<C>, number: u32) -> Result<(), Fault> {
    conn.batch(&format!("INSERT INTO numbers VALUES ({number}, 0)")).await
}

async fn a_transaction_is_committed_as_a_whole_or_not_at_all<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    let engine = open::<C>(&database).await;
    let first = "INSERT INTO numbers VALUES (1, 0)";
    engine.transaction::<_, Fault, _>(first, |conn| insert(conn, 2).boxed()).await.unwrap();
    assert_eq!(count(&database, "numbers"), "2");
    let failed = engine
        .transaction::<(), Fault, _>("INSERT INTO numbers VALUES (3, 0)", |conn| {
            async move {
                insert(conn, 4).await?;
                Err(Fault::internal("by choice"))
            }
            .boxed()
        })
        .await;
    assert!(matches!(failed, Err(Fault::Internal(_))));
    let failed = engine.transaction::<_, Fault, _>("INSERT INTO numbers VALUES (1, 0)", |conn| insert(conn, 5).boxed());
    assert!(matches!(failed.await, Err(Fault::Internal(_))));
    assert_eq!(count(&database, "numbers"), "2");
    // The connections went back in order.
    assert_eq!((engine.status().in_use, engine.status().idle), (0, 1));
}

async fn what_is_sent_with_the_commit_belongs_to_the_transaction<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    let engine = open::<C>(&database).await;
    engine
        .transaction::<_, Fault, _>("", |conn| {
            async move {
                insert(conn, 1).await?;
                conn.finish_with("INSERT INTO numbers VALUES (2, 0); INSERT INTO numbers VALUES (3, 0)".into());
                Ok(())
            }
            .boxed()
        })
        .await
        .unwrap();
    assert_eq!(count(&database, "numbers"), "3");
}

async fn a_failure_in_what_is_sent_with_the_commit_commits_nothing<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    let engine = open::<C>(&database).await;
    let failed = engine
        .transaction::<_, Fault, _>("", |conn| {
            async move {
                insert(conn, 1).await?;
                conn.finish_with("INSERT INTO numbers VALUES (2, 0); INSERT INTO numbers VALUES (1, 0)".into());
                Ok(())
            }
            .boxed()
        })
        .await;
    assert!(matches!(failed, Err(Fault::Internal(_))), "{failed:?}");
    assert_eq!(count(&database, "numbers"), "0");
    // What was left of it is in nobody's way.
    engine.transaction::<_, Fault, _>("", |conn| insert(conn, 1).boxed()).await.unwrap();
    assert_eq!(count(&database, "numbers"), "1");
}

async fn a_request_that_is_cut_off_leaves_no_transaction_behind<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    let engine = open_with::<C>(database.url(), EngineOptions { max_size: 1, ..EngineOptions::default() }).await;
    let hanging = engine.transaction::<(), Fault, _>("INSERT INTO numbers VALUES (1, 0)", |conn| {
        async move { conn.batch(C::SLOW).await }.boxed()
    });
    assert!(tokio::time::timeout(Duration::from_millis(300), hanging).await.is_err());
    // The only connection there may be is a new one, and nothing is locked once the server has noticed.
    let begun = Instant::now();
    engine.transaction::<_, Fault, _>("", |conn| insert(conn, 1).boxed()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(count(&database, "numbers"), "1");
}

async fn a_deadlock_is_tried_again<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    database.execute("INSERT INTO numbers VALUES (1, 0), (2, 0)");
    let engine = open::<C>(&database).await;
    let begun = Arc::new(AtomicU32::new(0));
    // Each locks a row, waits until the other has done the same, and wants the other's.
    let one = |mine: u32, others: u32| {
        let (engine, begun) = (Arc::clone(&engine), Arc::clone(&begun));
        async move {
            let first = format!("UPDATE numbers SET value = value + 1 WHERE number = {mine}");
            engine
                .transaction::<_, Fault, _>(&first, |conn| {
                    let begun = Arc::clone(&begun);
                    async move {
                        begun.fetch_add(1, Ordering::SeqCst);
                        while begun.load(Ordering::SeqCst) < 2 {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        conn.batch(&format!("UPDATE numbers SET value = value + 1 WHERE number = {others}")).await
                    }
                    .boxed()
                })
                .await
        }
    };
    let (first, second) = tokio::join!(one(1, 2), one(2, 1));
    first.unwrap();
    second.unwrap();
    assert!(begun.load(Ordering::SeqCst) > 2, "there was no deadlock");
    assert_eq!(database.query("SELECT sum(value) FROM numbers")[0][0].as_deref(), Some("4"));
}

async fn a_pool_that_is_exhausted_is_unavailable_after_the_wait<C: Kind>() {
    let database = C::database();
    let wait_limit = Duration::from_secs(2);
    let options = EngineOptions { max_size: 2, wait_limit, ..EngineOptions::default() };
    let engine = open_with::<C>(database.url(), options).await;
    let held = (engine.connection().await.unwrap(), engine.connection().await.unwrap());
    assert_eq!(engine.status().in_use, 2);
    let begun = Instant::now();
    let refused = engine.check().await;
    assert!(matches!(refused, Err(Fault::Unavailable(_))));
    assert!(begun.elapsed() >= wait_limit);
    drop(held);
    engine.check().await.unwrap();
}

async fn the_secret_is_claimed_once_and_rotated_from_a_known_one<C: Kind>() {
    let database = C::database();
    let engine = open::<C>(&database).await;
    let [old, new] = ["old", "new"].map(|text| SecretFingerprint(text.into()));
    let claims = join_all((0..4).map(|_| engine.claim_secret(&old, &[]))).await;
    let claims: Vec<_> = claims.into_iter().map(Result::unwrap).collect();
    assert_eq!(claims.iter().filter(|claim| **claim == SecretClaim::Claimed).count(), 1, "{claims:?}");
    assert_eq!(engine.claim_secret(&new, &[]).await.unwrap(), SecretClaim::Other);
    assert_eq!(engine.claim_secret(&new, std::slice::from_ref(&old)).await.unwrap(), SecretClaim::Rotated);
    assert_eq!(engine.claim_secret(&new, &[]).await.unwrap(), SecretClaim::Same);
    assert_eq!(engine.claim_secret(&old, &[]).await.unwrap(), SecretClaim::Other);
}

async fn a_server_that_was_restarted_costs_no_request<C: Kind>() {
    let mut server = Server::start(C::ENGINE, Options::default());
    let engine = open_with::<C>(&server.url(), EngineOptions::default()).await;
    // Several connections that are about to be dead.
    join_all((0..4).map(|_| engine.check())).await;
    server.restart();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..8 {
        engine.check().await.unwrap();
    }
    // Without a pause the first question finds out, and reads are asked again.
    server.restart();
    for _ in 0..8 {
        engine.read::<_, Fault, _>(|conn| async move { conn.batch("SELECT 1").await }.boxed()).await.unwrap();
    }
}

async fn a_server_that_is_away_is_unavailable_and_back_by_itself<C: Kind>() {
    let mut server = Server::start(C::ENGINE, Options::default());
    let options = EngineOptions { wait_limit: Duration::from_secs(2), ..EngineOptions::default() };
    let engine = open_with::<C>(&server.url(), options).await;
    engine.check().await.unwrap();
    server.kill();
    for _ in 0..3 {
        let away = engine.read::<_, Fault, _>(|conn| async move { conn.batch("SELECT 1").await }.boxed()).await;
        assert!(matches!(away, Err(Fault::Unavailable(_))), "{away:?}");
        let away = engine.transaction::<(), Fault, _>("", |_| async { Ok(()) }.boxed()).await;
        assert!(matches!(away, Err(Fault::Unavailable(_))), "{away:?}");
    }
    server.start_again();
    engine.check().await.unwrap();
}

async fn what_keeps_a_program_out_is_told_apart<C: Kind>() {
    let database = C::database();
    let url = database.url();
    let refusal = async |url: String| {
        let refused = Engine::<C>::open(&location(&url), EngineOptions::default(), Vec::new()).await;
        let error = refused.err().unwrap();
        let text = error.to_string();
        assert!(!text.contains("p%40ss") && !text.contains("p@ss"), "{text}");
        error
    };
    let (before, name) = url.rsplit_once('/').unwrap();
    let missing = refusal(format!("{before}/nothing_of_that_name")).await;
    assert!(
        matches!(&missing, OpenError::NoDatabase { database, .. } if database == "nothing_of_that_name"),
        "{missing}"
    );
    let (scheme, rest) = before.split_once("://").unwrap();
    let (_, host) = rest.rsplit_once('@').unwrap();
    let denied = refusal(format!("{scheme}://tester:wrong@{host}/{name}")).await;
    assert!(matches!(denied, OpenError::Denied { .. }), "{denied}");
    let unknown = refusal(format!("{scheme}://nobody_knows:him@{host}/{name}")).await;
    assert!(matches!(unknown, OpenError::Denied { .. }), "{unknown}");
    let unreachable = refusal(format!("{scheme}://tester:secret@127.0.0.1:9/{name}")).await;
    assert!(matches!(unreachable, OpenError::Unreachable { .. }), "{unreachable}");
    let nowhere = refusal(format!("{scheme}://tester:secret@no-such-host.invalid/{name}")).await;
    assert!(matches!(nowhere, OpenError::Unreachable { .. }), "{nowhere}");
}

async fn a_unix_socket_will_do<C: Kind>() {
    let database = C::database();
    let socket = database.query(C::SOCKET)[0][0].clone().unwrap();
    // The host and port stay: on Postgres the port is part of the socket's name.
    let url = format!("{}?{}={socket}", database.url(), C::SOCKET_PARAMETER);
    let engine = open_with::<C>(&url, EngineOptions::default()).await;
    engine.check().await.unwrap();
    assert!(engine.location().to_string().ends_with(&format!(" ({socket})")), "{}", engine.location());
    let elsewhere = format!("{}?{}=/nowhere/at/all", database.url(), C::SOCKET_PARAMETER);
    let refused = Engine::<C>::open(&location(&elsewhere), EngineOptions::default(), Vec::new()).await;
    assert!(matches!(refused.err(), Some(OpenError::Unreachable { .. })));
}

async fn a_check_asks_for_a_table_and_for_a_write<C: Kind>() {
    let database = C::database();
    let engine = open::<C>(&database).await;
    engine.check().await.unwrap();
    database.execute("DROP TABLE syncserver_meta");
    engine.check().await.unwrap_err();
}

async fn a_connection_waits_for_a_lock_as_long_as_for_itself<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    database.execute("INSERT INTO numbers VALUES (1, 0)");
    let options = EngineOptions { wait_limit: Duration::from_secs(2), ..EngineOptions::default() };
    let engine = open_with::<C>(database.url(), options).await;
    database.execute("BEGIN; UPDATE numbers SET value = 1 WHERE number = 1");
    let begun = Instant::now();
    let refused = engine
        .transaction::<(), Fault, _>("", |conn| {
            async move { conn.batch("UPDATE numbers SET value = 2 WHERE number = 1").await }.boxed()
        })
        .await;
    assert!(matches!(refused, Err(Fault::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    database.execute("ROLLBACK");
}

async fn a_lock_that_is_not_given_back_is_waited_for_within_a_bound<C: Kind>() {
    let database = C::database();
    database.execute(TABLE);
    database.execute("INSERT INTO numbers VALUES (1, 0)");
    let options = EngineOptions { wait_limit: Duration::from_secs(5), ..EngineOptions::default() };
    let engine = open_with::<C>(database.url(), options).await;
    database.execute("BEGIN; UPDATE numbers SET value = 1 WHERE number = 1");
    let begun = Instant::now();
    let attempts = AtomicU32::new(0);
    let refused = engine
        .transaction::<(), Fault, _>("", |conn| {
            attempts.fetch_add(1, Ordering::SeqCst);
            async move {
                conn.batch(C::IMPATIENT).await?;
                conn.batch("UPDATE numbers SET value = 2 WHERE number = 1").await
            }
            .boxed()
        })
        .await;
    assert!(matches!(refused, Err(Fault::Unavailable(_))), "{refused:?}");
    assert!(attempts.load(Ordering::SeqCst) > 1, "a lock timeout is tried again");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    database.execute("ROLLBACK");
    engine.transaction::<_, Fault, _>("", |conn| insert(conn, 2).boxed()).await.unwrap();
}
