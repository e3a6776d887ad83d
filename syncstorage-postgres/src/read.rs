//! Small reads: one statement each, so that each sees one state of the store.

use diesel::data_types::PgTimestamp;
use diesel::pg::Pg;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use network_engine::Sql;
use network_engine::postgres::sql;
use syncstorage_db_common::{
    Bso, BsoId, BsoRef, CollectionName, DbError, DbResult, Fault, Precondition, Stamped, SyncTimestamp, UserId,
};

use crate::PostgresDb;
use crate::time::{Moment, sync_time};

/// The number of what is no collection, but keeps the store's time.
const TOMBSTONE: i32 = 0;

/// All rows of a user: the latest of them has the store's time.
const COLLECTIONS: &str = "SELECT collection_id, modified FROM user_collections WHERE user_id = $1";

/// As above, with the number of records; null where there is none. By an index alone, where the table is vacuumed.
const COUNTS: &str = "
    SELECT c.collection_id, c.modified, (
            SELECT nullif(count(*), 0) FROM bsos b
            WHERE b.user_id = c.user_id AND b.collection_id = c.collection_id AND b.expiry > $2
        )
    FROM user_collections c WHERE c.user_id = $1";

/// As above, with the bytes of payload. Their number stands in the row; the payload is not fetched for it.
const USAGE: &str = "
    SELECT c.collection_id, c.modified, (
            SELECT sum(octet_length(b.payload)) FROM bsos b
            WHERE b.user_id = c.user_id AND b.collection_id = c.collection_id AND b.expiry > $2
        )
    FROM user_collections c WHERE c.user_id = $1";

const QUOTA: &str = "
    SELECT
        (SELECT max(modified) FROM user_collections WHERE user_id = $1),
        (SELECT coalesce(sum(octet_length(payload)), 0) FROM bsos WHERE user_id = $1 AND expiry > $2)";

/// A statement for a collection whose number is known, and the same for one whose name has to be looked up: `$2` is the
/// number or the name.
macro_rules! by_number_and_by_name {
    ($begin:literal, $end:literal) => {
        [concat!($begin, "$2", $end), concat!($begin, "(SELECT collection_id FROM collections WHERE name = $2)", $end)]
    };
}

const BSO: [&str; 2] = by_number_and_by_name!(
    "SELECT modified, sortindex, payload FROM bsos WHERE user_id = $1 AND collection_id = ",
    " AND bso_id = $3 AND expiry > $4"
);

/// A figure of a collection; which one, the statement says.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// Records that have not expired.
    Records,
    /// Their bytes of payload.
    Bytes,
}

/// How a statement names a collection.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    Number(i32),
    Name(&'a CollectionName),
}

impl Place<'_> {
    /// The statement of two that names it so.
    pub(crate) fn choose<T: Copy>(self, [by_number, by_name]: [T; 2]) -> T {
        match self {
            Self::Number(_) => by_number,
            Self::Name(_) => by_name,
        }
    }

    /// Gives `$2` its value.
    pub(crate) fn bind<Row: 'static>(self, statement: Sql<'static, Pg, Row>) -> Sql<'static, Pg, Row> {
        match self {
            Self::Number(number) => statement.bind::<Integer, _>(number),
            Self::Name(name) => statement.bind::<Text, _>(name.to_string()),
        }
    }
}

impl PostgresDb {
    /// How a statement is to name a collection.
    pub(crate) fn place<'a>(&self, name: &'a CollectionName) -> Place<'a> {
        self.names.number(name).map_or(Place::Name(name), Place::Number)
    }

    pub(crate) async fn collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        let user = user.get();
        let rows: Vec<(i32, PgTimestamp)> = self
            .engine
            .read(move |conn| sql::<(Integer, Timestamptz)>(COLLECTIONS).bind::<BigInt, _>(user).rows(conn))
            .await?;
        let rows = rows.into_iter().map(|(number, modified)| (number, sync_time(modified))).collect::<Vec<_>>();
        let last_modified = latest(rows.iter().map(|(_, modified)| *modified));
        condition.check(last_modified)?;
        // A row of no time is there for a batch only.
        let there = |(number, modified): &(i32, SyncTimestamp)| *number != TOMBSTONE && *modified > SyncTimestamp::ZERO;
        let value = self.named(rows.into_iter().filter(there).collect()).await?;
        Ok(Stamped { last_modified, value })
    }

    pub(crate) async fn figures(
        &self,
        figure: Figure,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let text = match figure {
            Figure::Records => COUNTS,
            Figure::Bytes => USAGE,
        };
        let (user, now) = (user.get(), Moment::of(&self.options.clock).now());
        let rows: Vec<(i32, PgTimestamp, Option<i64>)> = self
            .engine
            .read(move |conn| {
                let statement = sql::<(Integer, Timestamptz, Nullable<BigInt>)>(text);
                statement.bind::<BigInt, _>(user).bind::<Timestamptz, _>(now).rows(conn)
            })
            .await?;
        let last_modified = latest(rows.iter().map(|(_, modified, _)| sync_time(*modified)));
        condition.check(last_modified)?;
        let figures = rows.into_iter().filter_map(|(number, _, figure)| Some((number, figure?.unsigned_abs())));
        let value = self.named(figures.collect()).await?;
        Ok(Stamped { last_modified, value })
    }

    pub(crate) async fn quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        let (user, now) = (user.get(), Moment::of(&self.options.clock).now());
        let found: Option<(Option<PgTimestamp>, i64)> = self
            .engine
            .read(move |conn| {
                let statement = sql::<(Nullable<Timestamptz>, BigInt)>(QUOTA);
                statement.bind::<BigInt, _>(user).bind::<Timestamptz, _>(now).row(conn)
            })
            .await?;
        let (modified, used) = found.ok_or_else(|| Fault::internal("a statement without FROM gave no row"))?;
        let last_modified = modified.map_or(SyncTimestamp::ZERO, sync_time);
        condition.check(last_modified)?;
        Ok(Stamped { last_modified, value: used.unsigned_abs() })
    }

    pub(crate) async fn bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso> {
        let now = Moment::of(&self.options.clock).now();
        let place = self.place(&at.collection);
        let found: Option<(PgTimestamp, Option<i32>, String)> = self
            .engine
            .read(|conn| {
                let statement = sql::<(Timestamptz, Nullable<Integer>, Text)>(place.choose(BSO));
                let statement = place
                    .bind(statement.bind::<BigInt, _>(at.user.get()))
                    .bind::<Text, _>(at.id.to_string())
                    .bind::<Timestamptz, _>(now);
                statement.row(conn)
            })
            .await?;
        let (modified, sortindex, payload) = found.ok_or(DbError::NotFound)?;
        let modified = sync_time(modified);
        condition.check(modified)?;
        Ok(Bso { id: BsoId::clone(&at.id), modified, sortindex, payload })
    }

    /// Puts names in place of numbers. Those that another server has given out lately are asked for.
    async fn named<T>(&self, rows: Vec<(i32, T)>) -> Result<Vec<(CollectionName, T)>, Fault> {
        let numbers = || rows.iter().map(|(number, _)| *number);
        let names = match self.names.names(numbers()) {
            Some(names) => names,
            None => {
                self.names.load(&self.engine).await?;
                self.names
                    .names(numbers())
                    .ok_or_else(|| Fault::internal("the table collections has lost a number that is in use"))?
            }
        };
        Ok(names.into_iter().zip(rows.into_iter().map(|(_, value)| value)).collect())
    }
}

fn latest(times: impl Iterator<Item = SyncTimestamp>) -> SyncTimestamp {
    times.max().unwrap_or(SyncTimestamp::ZERO)
}
