//! The storage as a whole: see [`StorageSource`] and [`StorageTarget`].

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::data_types::PgTimestamp;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use network_engine::postgres::sql;
use network_engine::{Connection, PostgresEngine};
use syncstorage_db_common::{
    Bso, BsoId, CollectionName, DbError, DbResult, Fault, FoundStore, NEVER_MS, Sink, StorageSource, StorageTarget,
    StoredBso, StoredItem, SyncTimestamp, expiry_unless_never, found_stores, growth,
};

use crate::time::{ms_of, sync_time, timestamp};

type Conn = Connection<AsyncPgConnection>;

const NAMES: &str = "SELECT collection_id, name FROM collections";

/// A thousand users at a time.
const COLLECTIONS: &str = "
    SELECT user_id, collection_id, modified FROM user_collections
    WHERE user_id > $1 AND user_id <= (
        SELECT max(user_id) FROM (
            SELECT DISTINCT user_id FROM user_collections WHERE user_id > $1 ORDER BY user_id LIMIT 1000
        ) AS page
    )
    ORDER BY user_id";

const BSOS: &str = "
    SELECT bso_id, modified, sortindex, expiry, payload FROM bsos
    WHERE user_id = $1 AND collection_id = $2 AND expiry > $3
    ORDER BY bso_id";

const IS_EMPTY: &str = "SELECT user_id FROM user_collections LIMIT 1";

/// The records and the batches go with the rows that they refer to.
const CLEAR: &str = "TRUNCATE batch_bsos, batches, bsos, user_collections";

const NUMBER: &str = "SELECT syncserver_number($1)";

/// Collection 0 keeps the time of a store, whatever becomes of its collections.
const ADD_STORES: &str = "
    INSERT INTO user_collections (user_id, collection_id, modified)
    SELECT n.user_id, 0, n.modified FROM unnest($1, $2) AS n (user_id, modified)";

const ADD_COLLECTIONS: &str = "
    INSERT INTO user_collections (user_id, collection_id, modified, count, total_bytes)
    SELECT n.*, 0, 0 FROM unnest($1, $2, $3) AS n";

const ADD_BSOS: &str = "
    INSERT INTO bsos (user_id, collection_id, bso_id, sortindex, payload, modified, expiry)
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7)";

const COUNT: &str = "
    UPDATE user_collections c SET count = c.count + n.count, total_bytes = c.total_bytes + n.bytes
    FROM unnest($1, $2, $3, $4) AS n (user_id, collection_id, count, bytes)
    WHERE c.user_id = n.user_id AND c.collection_id = n.collection_id";

/// The storage of a Postgres database.
pub struct PostgresArchive {
    engine: Arc<PostgresEngine>,
}

impl PostgresArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS); or, to be read only, of another server's
    /// database.
    #[must_use]
    pub const fn new(engine: Arc<PostgresEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl StorageSource for PostgresArchive {
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
        let mut conn = self.engine.snapshot().await?;
        let names: Vec<(i32, String)> = sql::<(Integer, Text)>(NAMES).rows(&mut conn).await?;
        let names: HashMap<i64, String> = names.into_iter().map(|(number, name)| (number.into(), name)).collect();
        let mut last = -1;
        loop {
            let rows: Vec<(i64, i32, PgTimestamp)> =
                sql::<(BigInt, Integer, Timestamptz)>(COLLECTIONS).bind::<BigInt, _>(last).rows(&mut conn).await?;
            let Some((user, ..)) = rows.last() else { return Ok(()) };
            last = *user;
            let rows = rows.into_iter().map(|(user, number, time)| (user, number.into(), sync_time(time)));
            for store in found_stores(rows, &names)? {
                dump_store(&mut conn, store, now_ms, sink).await?;
            }
        }
    }
}

async fn dump_store(conn: &mut Conn, store: FoundStore, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()> {
    type Row = (String, PgTimestamp, Option<i32>, PgTimestamp, String);
    let FoundStore { user, modified, collections } = store;
    sink.push(StoredItem::Store { user, modified }).map_err(DbError::Output)?;
    for (at, number, modified) in collections {
        sink.push(StoredItem::Collection { at: Arc::clone(&at), modified }).map_err(DbError::Output)?;
        let number = i32::try_from(number).map_err(Fault::internal)?;
        sql::<(Text, Timestamptz, Nullable<Integer>, Timestamptz, Text)>(BSOS)
            .bind::<BigInt, _>(user.get())
            .bind::<Integer, _>(number)
            .bind::<Timestamptz, _>(timestamp(now_ms))
            .each(conn, |(id, modified, sortindex, expiry, payload): Row| {
                let modified = sync_time(modified);
                let expiry = expiry_unless_never(modified.as_ms(), ms_of(expiry));
                let bso = Bso { id: BsoId::from_stored(id), modified, sortindex, payload };
                sink.push(StoredItem::Bso(StoredBso { at: Arc::clone(&at), bso, expiry })).map_err(DbError::Output)
            })
            .await?;
    }
    Ok(())
}

#[async_trait]
impl StorageTarget for PostgresArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let first: Option<(i64,)> = self.engine.read(|conn| sql::<(BigInt,)>(IS_EMPTY).row(conn)).await?;
        Ok(first.is_none())
    }

    async fn clear(&self) -> Result<(), Fault> {
        self.engine.write(|conn| conn.without_limit().batch(CLEAR).boxed()).await
    }

    async fn load(&self, items: Vec<StoredItem>) -> Result<(), Fault> {
        let items = Arc::new(items);
        self.engine
            .transaction("", |conn| {
                let items = Arc::clone(&items);
                async move { load(conn.without_limit(), &items).await }.boxed()
            })
            .await
    }
}

async fn load(conn: &mut Conn, items: &[StoredItem]) -> Result<(), Fault> {
    let mut numbers = HashMap::new();
    let (mut stores, mut store_times) = (Vec::new(), Vec::new());
    let mut collections = Columns::default();
    let mut bsos = Vec::new();
    for item in items {
        match item {
            StoredItem::Store { user, modified } => {
                stores.push(user.get());
                store_times.push(timestamp(modified.as_ms()));
            }
            StoredItem::Collection { at, modified } => {
                collections.users.push(at.user.get());
                collections.numbers.push(number(conn, &mut numbers, &at.collection).await?);
                collections.times.push(timestamp(modified.as_ms()));
            }
            StoredItem::Bso(bso) => bsos.push(bso),
        }
    }
    if !stores.is_empty() {
        sql(ADD_STORES).bind::<Array<BigInt>, _>(stores).bind::<Array<Timestamptz>, _>(store_times).run(conn).await?;
    }
    if !collections.users.is_empty() {
        sql(ADD_COLLECTIONS)
            .bind::<Array<BigInt>, _>(collections.users)
            .bind::<Array<Integer>, _>(collections.numbers)
            .bind::<Array<Timestamptz>, _>(collections.times)
            .run(conn)
            .await?;
    }
    if bsos.is_empty() { Ok(()) } else { load_bsos(conn, &mut numbers, &bsos).await }
}

/// Columns of the rows of collections.
#[derive(Default)]
struct Columns {
    users: Vec<i64>,
    numbers: Vec<i32>,
    times: Vec<PgTimestamp>,
}

async fn load_bsos(
    conn: &mut Conn,
    numbers: &mut HashMap<CollectionName, i32>,
    bsos: &[&StoredBso],
) -> Result<(), Fault> {
    let mut places = Vec::with_capacity(bsos.len());
    for StoredBso { at, .. } in bsos {
        places.push(number(conn, numbers, &at.collection).await?);
    }
    let never = |modified: SyncTimestamp| modified.as_ms().saturating_add(NEVER_MS);
    let expiries = bsos.iter().map(|bso| timestamp(bso.expiry.unwrap_or_else(|| never(bso.bso.modified))));
    sql(ADD_BSOS)
        .bind::<Array<BigInt>, _>(bsos.iter().map(|bso| bso.at.user.get()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(places)
        .bind::<Array<Text>, _>(bsos.iter().map(|bso| bso.bso.id.as_str()).collect::<Vec<_>>())
        .bind::<Array<Nullable<Integer>>, _>(bsos.iter().map(|bso| bso.bso.sortindex).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(bsos.iter().map(|bso| bso.bso.payload.as_str()).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(bsos.iter().map(|bso| timestamp(bso.bso.modified.as_ms())).collect::<Vec<_>>())
        .bind::<Array<Timestamptz>, _>(expiries.collect::<Vec<_>>())
        .run(conn)
        .await?;
    let sums = growth(bsos.iter().copied());
    let mut places = Vec::with_capacity(sums.len());
    for sum in &sums {
        places.push(number(conn, numbers, &sum.at.collection).await?);
    }
    sql(COUNT)
        .bind::<Array<BigInt>, _>(sums.iter().map(|sum| sum.at.user.get()).collect::<Vec<_>>())
        .bind::<Array<Integer>, _>(places)
        .bind::<Array<BigInt>, _>(sums.iter().map(|sum| sum.records).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(sums.iter().map(|sum| sum.bytes).collect::<Vec<_>>())
        .run(conn)
        .await
        .map(drop)
}

/// The number of a name, given one where it has none.
async fn number(
    conn: &mut Conn,
    numbers: &mut HashMap<CollectionName, i32>,
    name: &CollectionName,
) -> Result<i32, Fault> {
    if let Some(number) = numbers.get(name) {
        return Ok(*number);
    }
    let found: Option<(i32,)> = sql::<(Integer,)>(NUMBER).bind::<Text, _>(name.to_string()).row(conn).await?;
    let (number,) = found.ok_or_else(|| Fault::internal("a new collection got no number"))?;
    numbers.insert(name.clone(), number);
    Ok(number)
}
