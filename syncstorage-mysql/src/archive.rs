//! The storage as a whole: see [`StorageSource`] and [`StorageTarget`].

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{
    Bso, BsoId, CollectionName, DbError, DbOptions, DbResult, Fault, FoundStore, NEVER_MS, Sink, StorageSource,
    StorageTarget, StoredBso, StoredItem, SyncTimestamp, expiry_unless_never, found_stores, growth,
};

use crate::names::Names;
use crate::read::stored_sortindex;
use crate::rows::{NewRow, upsert};
use crate::transaction::{Conn, TOMBSTONE, Transaction};

/// A thousand users at a time.
const COLLECTIONS: &str = "
    SELECT userid, collection, last_modified FROM user_collections
    WHERE userid > ? AND userid <= (
        SELECT MAX(userid) FROM (
            SELECT DISTINCT userid FROM user_collections WHERE userid > ? ORDER BY userid LIMIT 1000
        ) AS page
    )
    ORDER BY userid";

const BSOS: &str = "
    SELECT id, modified, sortindex, ttl, payload FROM bso FORCE INDEX (PRIMARY)
    WHERE userid = ? AND collection = ? AND ttl > ?
    ORDER BY id";

const IS_EMPTY: &str = "SELECT userid FROM user_collections LIMIT 1";

const CLEAR: &str = "
    TRUNCATE batch_upload_items; TRUNCATE batch_uploads; TRUNCATE bso; TRUNCATE user_collections;
    TRUNCATE syncserver_stores";

/// Whose tables they are. The old Sync server in Python (server-syncstorage 1.x, `storage/sql/dbconnect.py`) has nearly
/// the same ones.
#[derive(Clone, Copy)]
enum Tables {
    /// As of syncstorage-rs, and ours.
    Current,
    /// There `ttl` is in whole seconds since the epoch, 2100000000 for never, the number of a name is called
    /// `collectionid`, and where `standard_collections` was set, the common names have no row.
    Python,
}

/// The names that may have no row there.
const STANDARD: [&str; 11] =
    ["clients", "crypto", "forms", "history", "keys", "meta", "bookmarks", "prefs", "tabs", "passwords", "addons"];

/// What never expires there, in seconds.
const PYTHON_NEVER: i64 = 2_100_000_000;

impl Tables {
    async fn of(conn: &mut Conn) -> Result<Self, Fault> {
        const FIND: &str = "
            SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.columns
            WHERE table_schema = DATABASE() AND table_name = 'collections' AND column_name = 'collectionid'";
        let found: Option<(i64,)> = sql::<(BigInt,)>(FIND).row(conn).await?;
        Ok(if found == Some((1,)) { Self::Python } else { Self::Current })
    }

    async fn names(self, conn: &mut Conn) -> Result<HashMap<i64, String>, Fault> {
        let (text, standard) = match self {
            Self::Current => ("SELECT id, name FROM collections", &[][..]),
            Self::Python => ("SELECT collectionid, name FROM collections", &STANDARD[..]),
        };
        let mut names: HashMap<i64, String> = (1..).zip(standard.iter().map(|name| (*name).to_owned())).collect();
        let rows: Vec<(i64, String)> = sql::<(BigInt, Text)>(text).rows(conn).await?;
        names.extend(rows);
        Ok(names)
    }

    /// The time after which a record has to end, to be there at `now_ms`.
    const fn now(self, now_ms: i64) -> i64 {
        match self {
            Self::Current => now_ms,
            Self::Python => now_ms / 1000,
        }
    }

    const fn expiry(self, modified: i64, ttl: i64) -> Option<i64> {
        match self {
            Self::Current => expiry_unless_never(modified, ttl),
            Self::Python if ttl >= PYTHON_NEVER => None,
            Self::Python => Some(ttl * 1000),
        }
    }
}

/// The storage of a MySQL or MariaDB database.
pub struct MysqlArchive {
    engine: Arc<MysqlEngine>,
    names: Names,
    options: Arc<DbOptions>,
}

impl MysqlArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS); or, to be read only, of another server's
    /// database.
    #[must_use]
    pub fn new(engine: Arc<MysqlEngine>) -> Self {
        Self { engine, names: Names::default(), options: Arc::default() }
    }
}

#[async_trait]
impl StorageSource for MysqlArchive {
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
        let mut conn = self.engine.snapshot().await?;
        let tables = Tables::of(&mut conn).await?;
        let names = tables.names(&mut conn).await?;
        let mut last = -1_i64;
        loop {
            let rows: Vec<(i64, i64, i64)> = sql::<(BigInt, BigInt, BigInt)>(COLLECTIONS)
                .bind::<BigInt, _>(last)
                .bind::<BigInt, _>(last)
                .rows(&mut conn)
                .await?;
            let Some((user, ..)) = rows.last() else { return Ok(()) };
            last = *user;
            let rows = rows.into_iter().map(|(user, number, ms)| (user, number, SyncTimestamp::from_ms(ms)));
            for store in found_stores(rows, &names)? {
                dump_store(&mut conn, tables, store, now_ms, sink).await?;
            }
        }
    }
}

async fn dump_store(
    conn: &mut Conn,
    tables: Tables,
    store: FoundStore,
    now_ms: i64,
    sink: &mut dyn Sink<StoredItem>,
) -> DbResult<()> {
    type Row = (String, i64, Option<i64>, i64, String);
    let FoundStore { user, modified, collections } = store;
    sink.push(StoredItem::Store { user, modified }).map_err(DbError::Output)?;
    for (at, number, modified) in collections {
        sink.push(StoredItem::Collection { at: Arc::clone(&at), modified }).map_err(DbError::Output)?;
        sql::<(Text, BigInt, Nullable<BigInt>, BigInt, Text)>(BSOS)
            .bind::<BigInt, _>(user.get())
            .bind::<BigInt, _>(number)
            .bind::<BigInt, _>(tables.now(now_ms))
            .each(conn, |(id, modified, sortindex, ttl, payload): Row| {
                let expiry = tables.expiry(modified, ttl);
                let modified = SyncTimestamp::from_ms(modified);
                let sortindex = stored_sortindex(sortindex);
                let bso = Bso { id: BsoId::from_stored(id), modified, sortindex, payload };
                sink.push(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry })).map_err(DbError::Output)
            })
            .await?;
    }
    Ok(())
}

#[async_trait]
impl StorageTarget for MysqlArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let first: Option<(i64,)> = self.engine.read(|conn| sql::<(BigInt,)>(IS_EMPTY).row(conn)).await?;
        Ok(first.is_none())
    }

    async fn clear(&self) -> Result<(), Fault> {
        self.engine.write(|conn| conn.without_limit().batch(CLEAR).boxed()).await
    }

    async fn load(&self, items: Vec<StoredItem>) -> Result<(), Fault> {
        let mut numbers = HashMap::new();
        for item in &items {
            if let StoredItem::Collection { at, .. } | StoredItem::Bso(StoredBso { at, .. }) = item
                && !numbers.contains_key(&at.collection)
            {
                // Outside of the transaction, as a write does it.
                let number = self.names.find_or_add(&self.engine, &at.collection).await?;
                numbers.insert(at.collection.clone(), number);
            }
        }
        let work = Arc::new((items, numbers));
        self.engine
            .transaction("", |conn| {
                let (work, options) = (Arc::clone(&work), Arc::clone(&self.options));
                async move { load(conn.without_limit(), &work.0, &work.1, options).await }.boxed()
            })
            .await
    }
}

async fn load(
    conn: &mut Conn,
    items: &[StoredItem],
    numbers: &HashMap<CollectionName, i64>,
    options: Arc<DbOptions>,
) -> Result<(), Fault> {
    let number = |name: &CollectionName| {
        numbers.get(name).copied().ok_or_else(|| Fault::internal("a collection's name got no number"))
    };
    // The tombstone keeps the time of a store, whatever becomes of its collections.
    let mut rows = String::new();
    let mut bsos = Vec::new();
    for item in items {
        let separator = if rows.is_empty() { "" } else { ", " };
        let written = match item {
            StoredItem::Store { user, modified } => {
                write!(rows, "{separator}({user}, {TOMBSTONE}, {}, NULL, NULL)", modified.as_ms())
            }
            StoredItem::Collection { at, modified } => {
                let number = number(&at.collection)?;
                write!(rows, "{separator}({}, {number}, {}, 0, 0)", at.user, modified.as_ms())
            }
            StoredItem::Bso(bso) => {
                bsos.push(bso);
                Ok(())
            }
        };
        written.map_err(Fault::internal)?;
    }
    if !rows.is_empty() {
        let insert = "INSERT INTO user_collections (userid, collection, last_modified, total_bytes, count) VALUES";
        conn.batch(&format!("{insert} {rows}")).await?;
    }
    for group in bsos.chunk_by(|one, other| one.at == other.at) {
        let at = &group[0].at;
        let rows: Vec<NewRow<'_>> = group.iter().map(|bso| new_row(bso)).collect();
        let mut transaction = Transaction::new(conn, at.user, Arc::clone(&options));
        upsert(&mut transaction, number(&at.collection)?, &rows).await?;
    }
    let mut sums = String::new();
    for sum in growth(bsos) {
        write!(
            sums,
            "UPDATE user_collections SET count = count + {}, total_bytes = total_bytes + {} \
             WHERE userid = {} AND collection = {}; ",
            sum.records,
            sum.bytes,
            sum.at.user,
            number(&sum.at.collection)?,
        )
        .map_err(Fault::internal)?;
    }
    match sums.trim_end_matches("; ") {
        "" => Ok(()),
        sums => conn.batch(sums).await,
    }
}

fn new_row(StoredBso { bso, expiry, .. }: &StoredBso) -> NewRow<'_> {
    let modified = bso.modified.as_ms();
    NewRow {
        id: &bso.id,
        modified,
        sortindex: bso.sortindex.map(i64::from),
        expiry: expiry.unwrap_or(modified.saturating_add(NEVER_MS)),
        payload: Some(&bso.payload),
    }
}
