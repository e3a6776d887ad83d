//! The storage as a whole: see [`StorageSource`] and [`StorageTarget`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, snapshot, sql};
use syncstorage_db_common::{
    Bso, BsoId, CollectionName, CollectionRef, DbError, DbResult, Fault, Sink, StorageSource, StorageTarget, StoredBso,
    StoredItem, SyncTimestamp, UserId, growth,
};

/// So many users are looked up at once.
const USERS: i64 = 1000;

const STORES: &str = "SELECT user_id, modified FROM stores WHERE user_id > ? ORDER BY user_id LIMIT ?";

const COLLECTIONS: &str = "
    SELECT c.collection_id, c.name, uc.modified
    FROM user_collections uc JOIN collections c USING (collection_id)
    WHERE uc.user_id = ?
    ORDER BY c.name";

const BSOS: &str = "
    SELECT id, modified, sortindex, expiry, payload
    FROM bsos INDEXED BY bsos_id
    WHERE user_id = ? AND collection_id = ? AND (expiry IS NULL OR expiry > ?)
    ORDER BY id";

/// Foreign keys lead from what is staged to the batches. Names are kept: they are nobody's.
const CLEAR: [&str; 5] = [
    "DELETE FROM batch_bsos",
    "DELETE FROM batches",
    "DELETE FROM bsos",
    "DELETE FROM user_collections",
    "DELETE FROM stores",
];

const ADD_STORE: &str = "INSERT INTO stores (user_id, modified) VALUES (?, ?)";

const FIND_NAME: &str = "SELECT collection_id FROM collections WHERE name = ?";

const ADD_NAME: &str = "INSERT INTO collections (name) VALUES (?) RETURNING collection_id";

const ADD_COLLECTION: &str = "
    INSERT INTO user_collections (user_id, collection_id, modified, count, total_bytes) VALUES (?, ?, ?, 0, 0)";

const ADD_BSO: &str = "
    INSERT INTO bsos (user_id, collection_id, id, modified, sortindex, expiry, payload_size, payload)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

const COUNT: &str = "
    UPDATE user_collections SET count = count + ?, total_bytes = total_bytes + ?
    WHERE user_id = ? AND collection_id = ?";

/// A file that is only read, whether a server runs on it or not.
pub struct SqliteSource {
    path: PathBuf,
}

impl SqliteSource {
    /// A file that has the tables of [`MIGRATIONS`](crate::MIGRATIONS).
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl StorageSource for SqliteSource {
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
        dump(&self.path, now_ms, sink)
    }
}

/// The storage of a file that was opened with [`MIGRATIONS`](crate::MIGRATIONS).
pub struct SqliteArchive {
    engine: Arc<SqliteEngine>,
}

impl SqliteArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    #[must_use]
    pub const fn new(engine: Arc<SqliteEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl StorageSource for SqliteArchive {
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
        dump(self.engine.path(), now_ms, sink)
    }
}

#[async_trait]
impl StorageTarget for SqliteArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let mut conn = self.engine.reader().await?;
        let first: Option<(i64,)> = sql::<(BigInt,)>("SELECT user_id FROM stores LIMIT 1").row(&mut conn)?;
        Ok(first.is_none())
    }

    async fn clear(&self) -> Result<(), Fault> {
        self.engine.write(|conn| CLEAR.iter().try_for_each(|statement| sql(*statement).run(conn).map(drop))).await
    }

    async fn load(&self, items: Vec<StoredItem>) -> Result<(), Fault> {
        self.engine.write(move |conn| load(conn, &items)).await
    }
}

/// On a connection of its own, and on the thread that it is called on: all of it is one read.
fn dump(path: &Path, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
    let mut conn = sqlite_engine::open_to_read(path)?;
    snapshot(&mut conn, |conn| {
        let mut last = -1;
        loop {
            let stores: Vec<(i64, i64)> = sql::<(BigInt, BigInt)>(STORES).bind(last).bind(USERS).rows(conn)?;
            let Some((user, _)) = stores.last() else { return Ok(()) };
            last = *user;
            for (user, modified) in stores {
                let user = UserId::try_from(user).map_err(Fault::internal)?;
                let modified = SyncTimestamp::from_ms(modified);
                sink.push(StoredItem::Store { user, modified }).map_err(DbError::Output)?;
                dump_store(conn, user, now_ms, sink)?;
            }
        }
    })
}

fn dump_store(conn: &mut SqliteConnection, user: UserId, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
    type Row = (String, i64, Option<i64>, Option<i64>, String);
    let collections: Vec<(i64, String, i64)> =
        sql::<(BigInt, Text, BigInt)>(COLLECTIONS).bind(user.get()).rows(conn)?;
    for (collection_id, name, modified) in collections {
        let at = Arc::new(CollectionRef { user, collection: CollectionName::from_stored(name) });
        let item = StoredItem::Collection { at: Arc::clone(&at), modified: SyncTimestamp::from_ms(modified) };
        sink.push(item).map_err(DbError::Output)?;
        sql::<(Text, BigInt, Nullable<BigInt>, Nullable<BigInt>, Text)>(BSOS)
            .bind(user.get())
            .bind(collection_id)
            .bind(now_ms)
            .each(conn, |(id, modified, sortindex, expiry, payload): Row| {
                let bso = Bso {
                    id: BsoId::from_stored(id),
                    modified: SyncTimestamp::from_ms(modified),
                    sortindex: crate::read::stored_sortindex(sortindex),
                    payload,
                };
                sink.push(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry })).map_err(DbError::Output)
            })?;
    }
    Ok(())
}

fn load(conn: &mut SqliteConnection, items: &[StoredItem]) -> Result<(), Fault> {
    let mut names = HashMap::new();
    for item in items {
        match item {
            StoredItem::Store { user, modified } => {
                sql(ADD_STORE).bind(user.get()).bind(modified.as_ms()).run(conn)?;
            }
            StoredItem::Collection { at, modified } => {
                let number = number(conn, &mut names, &at.collection)?;
                sql(ADD_COLLECTION).bind(at.user.get()).bind(number).bind(modified.as_ms()).run(conn)?;
            }
            StoredItem::Bso(StoredBso { at, bso, expiry }) => {
                let number = number(conn, &mut names, &at.collection)?;
                sql(ADD_BSO)
                    .bind(at.user.get())
                    .bind(number)
                    .bind(bso.id.as_str())
                    .bind(bso.modified.as_ms())
                    .bind(bso.sortindex.map(i64::from))
                    .bind(*expiry)
                    .bind(i64::try_from(bso.payload.len()).unwrap_or(i64::MAX))
                    .bind(bso.payload.as_str())
                    .run(conn)?;
            }
        }
    }
    let bsos = items.iter().filter_map(|item| if let StoredItem::Bso(bso) = item { Some(bso) } else { None });
    for sum in growth(bsos) {
        let number = number(conn, &mut names, &sum.at.collection)?;
        sql(COUNT).bind(sum.records).bind(sum.bytes).bind(sum.at.user.get()).bind(number).run(conn)?;
    }
    Ok(())
}

/// The number of a name, given one where it has none.
fn number(
    conn: &mut SqliteConnection,
    names: &mut HashMap<CollectionName, i64>,
    name: &CollectionName,
) -> Result<i64, Fault> {
    if let Some(number) = names.get(name) {
        return Ok(*number);
    }
    let mut found: Option<(i64,)> = sql::<(BigInt,)>(FIND_NAME).bind(name.as_str()).row(conn)?;
    if found.is_none() {
        found = sql::<(BigInt,)>(ADD_NAME).bind(name.as_str()).row(conn)?;
    }
    let (number,) = found.ok_or_else(|| Fault::internal("a new collection got no number"))?;
    names.insert(name.clone(), number);
    Ok(number)
}
