//! The tables of the old Sync server in Python (server-syncstorage 1.x, as in `syncserver.db`), to copy from.
//!
//! Its `storage/sql/dbconnect.py` and `storage/sql/__init__.py` say:
//! - `collections(collectionid, name)` has the names that were not built in. Where `standard_collections` was set, the
//!   common ones have fixed numbers and no row.
//! - `user_collections(userid, collection, last_modified)`: ms. The latest is the store's time; nothing remembers a
//!   deletion.
//! - `bso(userid, collection, id, sortindex, modified, payload, payload_size, ttl)`: `modified` is in ms, `ttl` is when
//!   the record expires, in whole seconds since the epoch, and 2100000000 (`MAX_TTL`) or null for never. A record is
//!   there while `ttl` is greater than the time in whole seconds.
//! - Open batches are in `batch_uploads` and `batch_upload_items`, and are left out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{columns, open_to_read, snapshot, sql};
use syncstorage_db_common::{
    Bso, BsoId, DbError, DbResult, Fault, FoundStore, Sink, StorageSource, StoredBso, StoredItem, SyncTimestamp,
    found_stores,
};

/// The names with fixed numbers.
const STANDARD: [&str; 11] =
    ["clients", "crypto", "forms", "history", "keys", "meta", "bookmarks", "prefs", "tabs", "passwords", "addons"];

/// What never expires, in seconds since the epoch.
const NEVER: i64 = 2_100_000_000;

const NAMES: &str = "SELECT collectionid, name FROM collections";

/// A thousand users at a time.
const COLLECTIONS: &str = "
    SELECT userid, collection, last_modified FROM user_collections
    WHERE userid > ? AND userid <= (
        SELECT max(userid) FROM (SELECT DISTINCT userid FROM user_collections WHERE userid > ? ORDER BY 1 LIMIT 1000)
    )
    ORDER BY userid";

const BSOS: &str = "
    SELECT id, modified, sortindex, ttl, payload FROM bso
    WHERE userid = ? AND collection = ? AND (ttl IS NULL OR ttl > ?)
    ORDER BY id";

/// Such a file. It is only read.
pub struct OthersSource {
    path: PathBuf,
}

impl OthersSource {
    /// The file, if it has these tables.
    pub fn find(path: &Path) -> Result<Option<Self>, Fault> {
        let mut conn = open_to_read(path)?;
        let mut has = |table, column: &str| Ok(columns(&mut conn, table)?.iter().any(|name| name == column));
        let found = has("bso", "ttl")? && has("user_collections", "userid")? && has("collections", "collectionid")?;
        Ok(found.then(|| Self { path: path.to_owned() }))
    }
}

#[async_trait]
impl StorageSource for OthersSource {
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
        snapshot(&mut open_to_read(&self.path)?, |conn| {
            let names = names(conn)?;
            let mut last = -1;
            loop {
                let rows: Vec<(i64, i64, i64)> =
                    sql::<(BigInt, BigInt, BigInt)>(COLLECTIONS).bind(last).bind(last).rows(conn)?;
                let Some((user, ..)) = rows.last() else { return Ok(()) };
                last = *user;
                let rows = rows.into_iter().map(|(user, number, ms)| (user, number, SyncTimestamp::from_ms(ms)));
                for store in found_stores(rows, &names)? {
                    dump_store(conn, store, now_ms, sink)?;
                }
            }
        })
    }
}

fn names(conn: &mut SqliteConnection) -> Result<HashMap<i64, String>, Fault> {
    let mut names: HashMap<i64, String> = (1..).zip(STANDARD.map(str::to_owned)).collect();
    let rows: Vec<(i64, String)> = sql::<(BigInt, Text)>(NAMES).rows(conn)?;
    names.extend(rows);
    Ok(names)
}

fn dump_store(
    conn: &mut SqliteConnection,
    store: FoundStore,
    now_ms: i64,
    sink: &mut dyn Sink<StoredItem>,
) -> DbResult<()> {
    type Row = (String, i64, Option<i64>, Option<i64>, String);
    let FoundStore { user, modified, collections } = store;
    sink.push(StoredItem::Store { user, modified }).map_err(DbError::Output)?;
    for (at, number, modified) in collections {
        sink.push(StoredItem::Collection { at: Arc::clone(&at), modified }).map_err(DbError::Output)?;
        sql::<(Text, BigInt, Nullable<BigInt>, Nullable<BigInt>, Text)>(BSOS)
            .bind(user.get())
            .bind(number)
            .bind(now_ms / 1000)
            .each(conn, |(id, modified, sortindex, ttl, payload): Row| {
                let bso = Bso {
                    id: BsoId::from_stored(id),
                    modified: SyncTimestamp::from_ms(modified),
                    sortindex: crate::read::stored_sortindex(sortindex),
                    payload,
                };
                let expiry = ttl.filter(|ttl| *ttl < NEVER).map(|seconds| seconds * 1000);
                sink.push(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry })).map_err(DbError::Output)
            })?;
    }
    Ok(())
}
