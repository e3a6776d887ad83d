//! In place of syncstorage-rs: on the tables that it made and filled, and so that it could go on with them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::sync::Arc;

use syncstorage_db_common::testing::{Fields, ManualClock, TestUser, change, ids_of};
use syncstorage_db_common::{BATCH_LIFETIME_MS, BatchId, BsoQuery, DbError, DbOptions, Precondition, Quota, UserId};
use syncstorage_mysql::MysqlDb;
use testdb::Database;

/// The clock of the tests when they begin. What is in the tables was written before.
const NOW: i64 = ManualClock::START_MS;

const NEVER_MS: i64 = 2_100_000_000_000;

/// The tables as a deployment of release 0.2x has them.
const TABLES: &str = include_str!("common/deployment.sql");

/// A deployment's database with two users, opened by us.
struct Deployment {
    database: Database,
    clock: ManualClock,
    db: Arc<MysqlDb>,
}

impl Deployment {
    async fn open(options: DbOptions) -> Self {
        let database = testdb::mysql();
        database.execute(TABLES);
        database.execute(&rows());
        let clock = ManualClock::default();
        let options = DbOptions { clock: clock.clock(), ..options };
        let db = Arc::new(MysqlDb::new(common::engine(database.url(), 8).await, options));
        Self { database, clock, db }
    }

    fn user(&self, id: i64) -> TestUser {
        TestUser { db: Arc::clone(&self.db) as _, id: UserId::try_from(id).unwrap() }
    }

    /// The rows of a raw query, with columns joined by spaces and NULL for a null.
    fn raw(&self, query: &str) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
        let rows = self.database.query(query).into_iter();
        rows.map(|row| row.into_iter().map(text).collect::<Vec<_>>().join(" ")).collect()
    }
}

/// Two minutes before [`NOW`], of all records.
const WRITTEN: i64 = NOW - 120_000;

/// The number of an open batch.
const BATCH: i64 = NOW - 60_000;

fn rows() -> String {
    let never = WRITTEN + NEVER_MS;
    format!(
        "INSERT INTO bso VALUES
            (7, 7, 'menu', 5, '{{\"ciphertext\":\"a\"}}', 18, {WRITTEN}, {never}),
            (7, 7, 'no-size', NULL, 'twelve bytes', 0, {WRITTEN}, {never}),
            (7, 7, 'short-lived', NULL, 'x', 1, {WRITTEN}, {NOW} + 1000),
            (7, 7, 'expired', NULL, 'x', 1, {WRITTEN}, {NOW} - 1),
            (7, 7, 'empty', NULL, '', 0, {WRITTEN}, {never}),
            (7, 117, 'latin', 1, CONVERT(0xE9 USING latin1), 1, {WRITTEN}, {never}),
            (8, 7, 'menu', 1, 'another user', 12, {WRITTEN}, {never});
        INSERT INTO user_collections VALUES
            (7, 7, {WRITTEN}, NULL, NULL), (7, 117, {WRITTEN} - 10, 1, 1), (7, 6, {WRITTEN} - 20, 0, 0),
            (8, 7, {WRITTEN}, 12, 1), (8, 0, {WRITTEN} + 500, NULL, NULL), (9, 0, {WRITTEN}, NULL, NULL);
        INSERT INTO batch_uploads VALUES ({BATCH}, 7, 7), ({NOW} - {BATCH_LIFETIME_MS} - 1, 7, 7);
        INSERT INTO batch_upload_items VALUES
            ({BATCH}, 7, 'menu', NULL, 'from the batch', 14, NULL),
            ({BATCH}, 7, 'no-size', 9, NULL, NULL, NULL),
            ({BATCH}, 7, 'new', NULL, 'new', 3, 60),
            ({BATCH}, 7, 'bare', NULL, NULL, NULL, NULL)"
    )
}

fn batch_id(number: i64) -> BatchId {
    // The digits of both have a length that is no multiple of three.
    let base64 = |text: String| {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letters = text.as_bytes().chunks(3).flat_map(|bytes| {
            let bits =
                bytes.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - bytes.len()));
            let letter = move |at: usize| {
                if at > bytes.len() { '=' } else { char::from(LETTERS[bits >> (6 * (3 - at)) & 63]) }
            };
            (0..4).map(letter).collect::<Vec<_>>()
        });
        letters.collect::<String>()
    };
    BatchId(base64(number.to_string()))
}

#[tokio::test]
async fn what_a_deployment_holds_is_served() {
    let deployment = Deployment::open(DbOptions::default()).await;
    let user = deployment.user(7);
    let mut collections: Vec<_> =
        user.collections().await.into_iter().map(|(name, time)| (name, time.as_ms() - WRITTEN)).collect();
    collections.sort();
    let expected = [("bookmarks", 0), ("extension-storage", -10), ("meta", -20)];
    assert_eq!(collections, expected.map(|(name, time)| (name.to_owned(), time)));
    let all = user.all("bookmarks").await;
    assert_eq!(ids_of(&all), ["empty", "menu", "no-size", "short-lived"]);
    assert!(all.iter().all(|bso| bso.modified.as_ms() == WRITTEN));
    assert_eq!((all[1].payload.as_str(), all[1].sortindex), ("{\"ciphertext\":\"a\"}", Some(5)));
    assert_eq!(user.payload("extension-storage", "latin").await, "é");
    // The size that was missing is there: 18 and 12 and 1. One that was there stays.
    let mut usage = user.usage().await;
    usage.sort();
    assert_eq!(usage, [("bookmarks".to_owned(), 31), ("extension-storage".to_owned(), 1)]);
    deployment.clock.advance(1000);
    assert_eq!(user.get("bookmarks", "short-lived").await, None);
    // The time of a deletion counts for the store, and makes no collection.
    let other = deployment.user(8);
    assert_eq!((other.store_time().await.as_ms(), other.collections().await.len()), (WRITTEN + 500, 1));
    let gone = deployment.user(9);
    assert_eq!((gone.store_time().await.as_ms(), gone.collections().await.len()), (WRITTEN, 0));
}

#[tokio::test]
async fn what_the_tables_could_not_hold_can_be_stored_afterwards() {
    let deployment = Deployment::open(DbOptions::default()).await;
    let user = deployment.user(7);
    user.post("bookmarks", ["a", "A", "a ", "menu"].map(|id| change(id).payload(format!("{id}🦊"))).to_vec()).await;
    for id in ["a", "A", "a ", "menu"] {
        assert_eq!(user.payload("bookmarks", id).await, format!("{id}🦊"));
    }
    for collection in ["Bookmarks", "brand-new", "BOOKMARKS"] {
        user.put(collection, change("x").payload(collection)).await;
    }
    assert_eq!(user.payload("Bookmarks", "x").await, "Bookmarks");
    let numbers = deployment.raw("SELECT id FROM collections WHERE id > 100 ORDER BY id");
    assert_eq!(numbers.len(), 5);
    assert_eq!(numbers[..2], ["101", "117"]);
    assert_eq!(numbers[2], "118", "new names are numbered on");
}

#[tokio::test]
async fn an_open_batch_goes_on_and_is_committed() {
    let deployment = Deployment::open(DbOptions::default()).await;
    let user = deployment.user(7);
    let batch = batch_id(BATCH);
    assert_eq!(batch_id(1_700_000_000_000).0, "MTcwMDAwMDAwMDAwMA==");
    let stale = batch_id(NOW - BATCH_LIFETIME_MS - 1);
    assert!(matches!(user.try_commit("bookmarks", &stale, Vec::new()).await, Err(DbError::BatchNotFound)));
    user.append("bookmarks", &batch, vec![change("appended").payload("🦊"), change("new").sortindex(4)]).await;
    let unpadded = BatchId(batch.0.trim_end_matches('=').to_owned());
    let time = user.commit("bookmarks", &unpadded, vec![change("last")]).await;
    let all = user.all("bookmarks").await;
    let seen: Vec<_> = all
        .iter()
        .filter(|bso| bso.modified == time)
        .map(|bso| (bso.id.as_str(), bso.payload.as_str(), bso.sortindex))
        .collect();
    let expected = [
        ("appended", "🦊", None),
        ("bare", "", None),
        ("last", "", None),
        ("menu", "from the batch", Some(5)),
        ("new", "new", Some(4)),
        ("no-size", "twelve bytes", Some(9)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM batch_uploads"), ["1"], "the stale one");
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM batch_upload_items"), ["0"]);
    deployment.clock.advance(60_000);
    assert_eq!(user.get("bookmarks", "new").await, None, "its ttl counts from the commit");
}

/// Read without our own eyes: times in ms, nothing null, sizes in bytes, and "never" as they know it.
#[tokio::test]
async fn what_is_written_fits_the_tables() {
    let deployment = Deployment::open(DbOptions::default()).await;
    let user = deployment.user(7);
    let changes = vec![
        change("plain").payload("🦊"),
        change("lives").payload("x").ttl(60),
        change("reset").null_ttl().null_payload().null_sortindex(),
        change("indexed").sortindex(-3),
    ];
    user.post("tabs", changes).await;
    let never = NOW + NEVER_MS;
    let query = "SELECT userid, collection, id, sortindex, payload, payload_size, modified, ttl FROM bso
                 WHERE userid = 7 AND collection = 9 ORDER BY id";
    let expected = [
        format!("7 9 indexed -3  0 {NOW} {never}"),
        format!("7 9 lives NULL x 1 {NOW} {}", NOW + 60_000),
        format!("7 9 plain NULL 🦊 4 {NOW} {never}"),
        format!("7 9 reset NULL  0 {NOW} {never}"),
    ];
    assert_eq!(deployment.raw(query), expected);
    let collections = "SELECT collection, last_modified, total_bytes, count FROM user_collections
                       WHERE userid = 7 ORDER BY collection";
    assert_eq!(deployment.raw(collections)[2], format!("9 {NOW} NULL NULL"));

    // What a ttl says nothing of keeps its end.
    deployment.clock.advance(1000);
    user.put("tabs", change("lives").sortindex(1)).await;
    user.put("tabs", change("plain").payload("é")).await;
    let later = NOW + 1000;
    let found = deployment.raw(&query.replace("ORDER BY", "AND id IN ('lives', 'plain') ORDER BY"));
    let expected =
        [format!("7 9 lives 1 x 1 {later} {}", NOW + 60_000), format!("7 9 plain NULL é 2 {} {never}", later + 10)];
    assert_eq!(found, expected);

    // An open batch of ours, as they would find it.
    let batch = user.create_batch("tabs", vec![change("b").payload("x").ttl(5), change("c").null_payload()]).await;
    user.append("tabs", &batch, vec![change("d").null_ttl().null_sortindex()]).await;
    let open =
        format!("SELECT userid, collection FROM batch_uploads WHERE batch BETWEEN {later} AND {later} + 3600000");
    assert_eq!(deployment.raw(&open), ["7 9"]);
    let items = format!(
        "SELECT id, sortindex, payload, payload_size, ttl_offset FROM batch_upload_items
         WHERE batch BETWEEN {later} AND {later} + 3600000 ORDER BY id"
    );
    assert_eq!(deployment.raw(&items), ["b NULL x 1 5", "c NULL  0 NULL", "d NULL NULL NULL 2100000000"]);

    // Deletions leave the time of the store.
    let time = user.delete_collection("tabs").await.as_ms();
    assert_eq!(deployment.raw(collections).first(), Some(&format!("0 {time} NULL NULL")));
    let time = user.delete_store().await.as_ms();
    assert_eq!(deployment.raw(collections), [format!("0 {time} NULL NULL")]);
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM bso WHERE userid = 7"), ["0"]);
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM batch_uploads WHERE userid = 7"), ["0"]);
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM batch_upload_items WHERE userid = 7"), ["0"]);
    assert_eq!(deployment.raw("SELECT COUNT(*) FROM bso WHERE userid = 8"), ["1"], "another user's");
}

#[tokio::test]
async fn the_sums_of_a_collection_are_exact_where_there_is_a_quota() {
    let quota = Some(Quota { limit: 1_000_000, enforce: true });
    let deployment = Deployment::open(DbOptions { quota, ..DbOptions::default() }).await;
    let user = deployment.user(7);
    let sums = || deployment.raw("SELECT total_bytes, count FROM user_collections WHERE userid = 7 AND collection = 7");
    assert_eq!(sums(), ["NULL NULL"]);
    // "expired" counts no more; the others have 18, 12, 1 and 0 bytes.
    user.put("bookmarks", change("a").payload("🦊")).await;
    assert_eq!(sums(), ["35 5"]);
    user.post("bookmarks", vec![change("a").payload("x"), change("expired").payload("yy")]).await;
    assert_eq!(sums(), ["34 6"]);
    let batch = batch_id(BATCH);
    user.commit("bookmarks", &batch, vec![change("z").payload("z")]).await;
    // The batch makes "menu" 14 bytes, "new" 3 and "bare" 0.
    assert_eq!(sums(), [format!("{} 9", 34 - 18 + 14 + 3 + 1)]);
    user.delete_bso("bookmarks", "menu").await;
    user.delete_bsos("bookmarks", &["a", "not-there"]).await;
    assert_eq!(sums(), [format!("{} 7", 34 - 18 + 3 + 1 - 1)]);
    let read = user.db.info_quota(user.id, Precondition::None).await.unwrap().value;
    assert_eq!(read, 20 - 1 + 1, "and the letter in the other collection");
}

/// What has been read of a page goes on where it was, on rows of theirs and ours.
#[tokio::test]
async fn their_rows_and_ours_are_paged_together() {
    let deployment = Deployment::open(DbOptions::default()).await;
    let user = deployment.user(7);
    user.post("bookmarks", vec![change("menu!"), change("n")]).await;
    let mut query = BsoQuery { limit: Some(1), ..BsoQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = user.read("bookmarks", &query).await;
        seen.extend(page.bsos.into_iter().map(|bso| bso.id.to_string()));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, ["empty", "menu", "no-size", "short-lived", "menu!", "n"]);
}
