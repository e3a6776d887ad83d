//! Reads of a collection: a page, or all of it, as one statement whose rows are handed on as they come in.

use std::io;

use diesel::data_types::PgTimestamp;
use diesel::pg::Pg;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use futures_util::FutureExt;
use network_engine::Sql;
use network_engine::postgres::sql;
use syncstorage_db_common::{
    Bso, BsoId, BsoQuery, CollectionRef, Cursor, DbError, DbResult, Fault, Precondition, Sort, Stamped, SyncTimestamp,
};

use crate::PostgresDb;
use crate::read::Place;
use crate::time::{INFINITY, MINUS_INFINITY, Moment, bounds, sync_time, timestamp};

/// What is read of each record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    /// The record.
    All,
    /// The record with an empty payload.
    NoPayload,
}

/// Where the records go.
type Take<'a> = &'a mut (dyn FnMut(Bso) -> io::Result<()> + Send);

/// The collection's time, then a record; a collection without any has one row with its time alone.
type RowColumns = (Timestamptz, Nullable<Text>, Nullable<Timestamptz>, Nullable<Integer>, Nullable<Text>);
type Row = (PgTimestamp, Option<String>, Option<PgTimestamp>, Option<i32>, Option<String>);

impl PostgresDb {
    pub(crate) async fn list(
        &self,
        columns: Columns,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        take: Take<'_>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        let selection = Selection { columns, at, query, condition, now: Moment::of(&self.options.clock).now() };
        let mut page = Page { query, last_modified: SyncTimestamp::ZERO, count: 0, last: None, more: false, take };
        let result = self.send(&selection, &mut page).await;
        if let Err(DbError::Fault(Fault::Unavailable(_))) = &result
            && page.count == 0
        {
            // Perhaps the server was started anew. What was handed over cannot be taken back, so that the engine
            // cannot repeat this by itself; with nothing handed over it is done here. A small read makes the engine
            // look at its connections.
            self.engine.read(|conn| conn.batch("SELECT 1").boxed()).await?;
            self.send(&selection, &mut page).await?;
        } else {
            result?;
        }
        // The statement has seen to it that nothing is handed over when this refuses.
        condition.check(page.last_modified)?;
        Ok(Stamped { last_modified: page.last_modified, value: page.last.filter(|_| page.more) })
    }

    async fn send(&self, selection: &Selection<'_>, page: &mut Page<'_>) -> DbResult<()> {
        let statement = selection.statement(self.place(&selection.at.collection));
        let mut conn = self.engine.connection().await?;
        statement.each(&mut conn, |row: Row| page.add(row)).await
    }
}

/// What has come in of a list.
struct Page<'a> {
    query: &'a BsoQuery,
    last_modified: SyncTimestamp,
    count: u64,
    last: Option<Cursor>,
    more: bool,
    take: Take<'a>,
}

impl Page<'_> {
    fn add(&mut self, (collection_modified, id, modified, sortindex, payload): Row) -> DbResult<()> {
        self.last_modified = sync_time(collection_modified);
        let (Some(id), Some(modified)) = (id, modified) else { return Ok(()) };
        let limit = self.query.limit.unwrap_or(u64::MAX);
        if self.count == limit {
            self.more = true;
            return Ok(());
        }
        self.count += 1;
        let bso = Bso {
            id: BsoId::from_stored(id),
            modified: sync_time(modified),
            sortindex,
            payload: payload.unwrap_or_default(),
        };
        if self.count == limit {
            self.last = Some(Cursor::of(self.query.sort, &bso.id, bso.modified, bso.sortindex));
        }
        (self.take)(bso).map_err(DbError::Output)
    }
}

/// Which records are to be read.
struct Selection<'a> {
    columns: Columns,
    at: &'a CollectionRef,
    query: &'a BsoQuery,
    condition: Precondition,
    now: PgTimestamp,
}

impl Selection<'_> {
    fn statement(&self, place: Place<'_>) -> Sql<'static, Pg, RowColumns> {
        let text = text(self.columns, self.query.sort, self.query.ids.is_some(), place);
        let (modified_since, unmodified_since) = bounds(self.condition);
        let limit = match self.query.limit {
            // One more than asked for tells whether there is a next page.
            Some(limit) if limit > 0 => i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
            Some(_) => 0,
            None => i64::MAX,
        };
        let statement = place
            .bind(sql::<RowColumns>(text).bind::<BigInt, _>(self.at.user.get()))
            .bind::<Timestamptz, _>(self.now)
            .bind::<Timestamptz, _>(modified_since)
            .bind::<Timestamptz, _>(unmodified_since)
            .bind::<BigInt, _>(limit);
        let statement = self.bind_range(statement);
        match &self.query.ids {
            None => statement,
            Some(ids) => {
                let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                ids.sort_unstable();
                ids.dedup();
                statement.bind::<Array<Text>, _>(ids)
            }
        }
    }

    /// Gives `$7` and `$8` the place after which the records begin in their order, `$9` and in the order by sortindex
    /// `$10` what else bounds them. A bound that is not there is an infinite one.
    fn bind_range(&self, statement: Sql<'static, Pg, RowColumns>) -> Sql<'static, Pg, RowColumns> {
        // A microsecond after `newer` no record has an id before the empty one: so the pair says "after `newer`".
        let newer = self.query.newer.map(|newer| PgTimestamp(timestamp(newer.floor_ms()).0.saturating_add(1)));
        let newer_floor = self.query.newer.map_or(MINUS_INFINITY, |newer| timestamp(newer.floor_ms()));
        let older = self.query.older.map(|older| timestamp(older.ceil_ms()));
        let start = match &self.query.after {
            Some(Cursor::Index(sortindex, id)) => {
                return statement
                    .bind::<Integer, _>(sortindex.unwrap_or(NO_SORTINDEX))
                    .bind::<Text, _>(id.to_string())
                    .bind::<Timestamptz, _>(newer_floor)
                    .bind::<Timestamptz, _>(older.unwrap_or(INFINITY));
            }
            Some(Cursor::Modified(modified, id)) => Some((timestamp(modified.as_ms()), id.as_str())),
            None => None,
        };
        let ((time, id), end) = match self.query.sort {
            Sort::Index => {
                return statement
                    .bind::<Integer, _>(i32::MAX)
                    .bind::<Text, _>(String::new())
                    .bind::<Timestamptz, _>(newer_floor)
                    .bind::<Timestamptz, _>(older.unwrap_or(INFINITY));
            }
            // Both the place and the bound say where to begin, and the database would only use one of them.
            Sort::Newest => {
                let bound = older.map(|older| (older, ""));
                (start.into_iter().chain(bound).min_by(pairs).unwrap_or((INFINITY, "")), newer_floor)
            }
            Sort::Oldest => {
                let bound = newer.map(|newer| (newer, ""));
                let start = start.into_iter().chain(bound).max_by(pairs).unwrap_or((MINUS_INFINITY, ""));
                (start, older.unwrap_or(INFINITY))
            }
        };
        statement.bind::<Timestamptz, _>(time).bind::<Text, _>(id.to_owned()).bind::<Timestamptz, _>(end)
    }
}

fn pairs(a: &(PgTimestamp, &str), b: &(PgTimestamp, &str)) -> std::cmp::Ordering {
    (a.0.0, a.1).cmp(&(b.0.0, b.1))
}

/// Below every sortindex that the protocol allows; the statement says the same.
const NO_SORTINDEX: i32 = -1_000_000_000;

/// The statement of a list. Its text depends on the columns, the order, and whether records are named, never on values;
/// so there are few, and each connection has the plans of those that it needs.
///
/// The first condition on a page's place and the order fit the index `bsos_modified_idx`, read one way or the other, so
/// that nothing is sorted or passed over. The conditions on `c` are those of the request: when they do not hold, no
/// record is looked at.
pub(crate) fn text(columns: Columns, sort: Sort, by_ids: bool, place: Place<'_>) -> String {
    let collection = place.choose(["$2", "(SELECT collection_id FROM collections WHERE name = $2)"]);
    let payload = match columns {
        Columns::All => "payload",
        Columns::NoPayload => "''::text AS payload",
    };
    let (range, order) = match sort {
        Sort::Newest => ("(modified, bso_id) < ($7, $8) AND modified > $9", "modified DESC, bso_id DESC"),
        Sort::Oldest => ("(modified, bso_id) > ($7, $8) AND modified < $9", "modified, bso_id"),
        Sort::Index => (
            "(coalesce(sortindex, -1000000000), bso_id) < ($7, $8) AND modified > $9 AND modified < $10",
            "coalesce(sortindex, -1000000000) DESC, bso_id DESC",
        ),
    };
    let ids = match sort {
        Sort::Newest | Sort::Oldest => "$10",
        Sort::Index => "$11",
    };
    let conditions = format!(
        "user_id = $1 AND collection_id = {collection} AND expiry > $3 AND c.modified > $4 AND c.modified <= $5 \
         AND {range}"
    );
    let records = if by_ids {
        // LIMIT has each id looked up by itself, whatever the database takes for cheaper.
        format!(
            "SELECT r.bso_id, r.modified, r.sortindex, r.payload
             FROM unnest({ids}) AS named (id) CROSS JOIN LATERAL (
                 SELECT bso_id, modified, sortindex, {payload} FROM bsos
                 WHERE bso_id = named.id AND {conditions} LIMIT 1
             ) r"
        )
    } else {
        format!("SELECT bso_id, modified, sortindex, {payload} FROM bsos WHERE {conditions}")
    };
    format!(
        "SELECT c.modified, b.bso_id, b.modified, b.sortindex, b.payload
         FROM user_collections c LEFT JOIN LATERAL ({records} ORDER BY {order} LIMIT $6) b ON true
         WHERE c.user_id = $1 AND c.collection_id = {collection}"
    )
}
