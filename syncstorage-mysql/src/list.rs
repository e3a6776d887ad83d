//! Reads of a collection: a page, or all of it, as it comes in.

use std::fmt::Write;
use std::io;

use diesel::mysql::Mysql;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use network_engine::Sql;
use network_engine::mysql::sql;
use syncstorage_db_common::{
    Bso, BsoId, BsoQuery, CollectionRef, Cursor, DbError, DbResult, Fault, Precondition, Sort, Stamped, SyncTimestamp,
};

use crate::MysqlDb;
use crate::names::Key;
use crate::read::stored_sortindex;
use crate::rows::{padded, placeholders};

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

/// The first row is the collection's, with its time only. The others are those of records.
type RowColumns = (BigInt, Nullable<Text>, Nullable<BigInt>, Nullable<Text>);
type RowValues = (i64, Option<String>, Option<i64>, Option<String>);

impl MysqlDb {
    pub(crate) async fn list(
        &self,
        columns: Columns,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        take: Take<'_>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        let key = self.names.key(&at.collection);
        let statement = statement(columns, at.user.get(), &key, query, condition, self.options.clock.now_ms());
        let mut page = Page::new(query, condition, take);
        // What has been handed over cannot be taken back, so that the read is not begun anew.
        let mut conn = self.engine.connection().await?;
        statement.each(&mut conn, |row| page.add(row)).await?;
        drop(conn);
        page.end()
    }
}

/// A page as far as it has come.
struct Page<'a> {
    sort: Sort,
    limit: u64,
    condition: Precondition,
    take: Take<'a>,
    /// The collection's time, once its row has come; or the refusal of the precondition.
    stamp: Option<DbResult<SyncTimestamp>>,
    count: u64,
    last: Option<Cursor>,
    more: bool,
}

impl<'a> Page<'a> {
    fn new(query: &BsoQuery, condition: Precondition, take: Take<'a>) -> Self {
        let limit = query.limit.unwrap_or(u64::MAX);
        Self { sort: query.sort, limit, condition, take, stamp: None, count: 0, last: None, more: false }
    }

    /// An error ends the read, and with it the connection.
    fn add(&mut self, (modified, id, sortindex, payload): RowValues) -> DbResult<()> {
        let modified = SyncTimestamp::from_ms(modified);
        let Some(id) = id else {
            self.stamp = Some(self.condition.check(modified).map(|()| modified));
            return Ok(());
        };
        match &self.stamp {
            // The two parts of the statement are carried out in their order.
            None => return Err(Fault::internal("a record came before its collection").into()),
            // None should come then.
            Some(Err(_)) => return Ok(()),
            Some(Ok(_)) => {}
        }
        if self.count == self.limit {
            self.more = true;
            return Ok(());
        }
        self.count += 1;
        let bso = Bso {
            id: BsoId::from_stored(id),
            modified,
            sortindex: stored_sortindex(sortindex),
            payload: payload.unwrap_or_default(),
        };
        if self.count == self.limit {
            self.last = Some(Cursor::of(self.sort, &bso.id, bso.modified, bso.sortindex));
        }
        (self.take)(bso).map_err(DbError::Output)
    }

    fn end(self) -> DbResult<Stamped<Option<Cursor>>> {
        let last_modified = match self.stamp {
            Some(stamp) => stamp?,
            None => {
                self.condition.check(SyncTimestamp::ZERO)?;
                SyncTimestamp::ZERO
            }
        };
        Ok(Stamped { last_modified, value: self.last.filter(|_| self.more) })
    }
}

/// The statement for a query: one for the collection's time and the records, so that they belong together. Its text
/// depends on which conditions there are, never on their values, so that the prepared forms are few.
///
/// The collection is not joined to the records, since then neither server would read them in the order of an index. With
/// UNION ALL each part is handed on as it is read. The orders by time walk `bso_usr_col_mod_idx`, of which InnoDB makes
/// (userid, collection, modified, id), from the place of the cursor on; that by sortindex walks an index of ours likewise. A LIMIT is always there: without one MySQL takes
/// the liberty to leave the order out.
fn statement<'a>(
    columns: Columns,
    user: i64,
    key: &Key,
    query: &'a BsoQuery,
    condition: Precondition,
    now_ms: i64,
) -> Sql<'a, Mysql, RowColumns> {
    let ids = query.ids.as_ref().map(|ids| padded(ids.iter().collect()));
    let nothing = query.limit == Some(0) || ids.as_ref().is_some_and(Vec::is_empty);
    let text = text(columns, key, query, condition, ids.as_ref().map(Vec::len), nothing);
    let mut statement = key.bind(sql::<RowColumns>(text).bind::<BigInt, _>(user));
    if nothing {
        return statement;
    }
    statement = key.bind(statement.bind::<BigInt, _>(user)).bind::<BigInt, _>(now_ms);
    if let Some(bound) = bound(condition) {
        statement = key.bind(statement.bind::<BigInt, _>(user)).bind::<BigInt, _>(bound);
    }
    for id in ids.into_iter().flatten() {
        statement = statement.bind::<Binary, _>(id.as_str().as_bytes());
    }
    if let Some(newer) = query.newer {
        statement = statement.bind::<BigInt, _>(newer.floor_ms());
    }
    if let Some(older) = query.older {
        statement = statement.bind::<BigInt, _>(older.ceil_ms());
    }
    match &query.after {
        Some(Cursor::Modified(modified, id)) => {
            statement = statement.bind::<BigInt, _>(modified.as_ms()).bind::<BigInt, _>(modified.as_ms());
            statement = statement.bind::<Binary, _>(id.as_str().as_bytes());
        }
        Some(Cursor::Index(Some(sortindex), id)) => {
            let sortindex = i64::from(*sortindex);
            statement = statement.bind::<BigInt, _>(sortindex).bind::<BigInt, _>(sortindex);
            statement = statement.bind::<Binary, _>(id.as_str().as_bytes());
        }
        Some(Cursor::Index(None, id)) => statement = statement.bind::<Binary, _>(id.as_str().as_bytes()),
        None => {}
    }
    // One more than asked for tells whether there is a next page.
    let limit = query.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
    statement.bind::<BigInt, _>(limit.saturating_add(1))
}

/// What the time of the collection is compared with.
fn bound(condition: Precondition) -> Option<i64> {
    match condition {
        Precondition::None => None,
        Precondition::ModifiedSince(bound) | Precondition::UnmodifiedSince(bound) => Some(bound.floor_ms()),
    }
}

/// `ids`: how many, if the query has any. `nothing`: no record is asked for.
fn text(
    columns: Columns,
    key: &Key,
    query: &BsoQuery,
    condition: Precondition,
    ids: Option<usize>,
    nothing: bool,
) -> String {
    let key = key.text();
    let mut text = String::with_capacity(1024);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "(SELECT last_modified AS modified, NULL AS id, NULL AS sortindex, NULL AS payload \
         FROM user_collections WHERE userid = ? AND collection = {key})"
    );
    if nothing {
        return text;
    }
    let payload = match columns {
        Columns::All => "payload",
        Columns::NoPayload => "NULL",
    };
    let index = match query.sort {
        // A hundred rows at most, sorted afterwards.
        _ if ids.is_some() => "PRIMARY",
        // Few are newer, in most cases, and to sort them is less work than to walk past all the others.
        Sort::Index if query.newer.is_none() && query.older.is_none() => "syncserver_sortindex_idx",
        Sort::Newest | Sort::Oldest | Sort::Index => "bso_usr_col_mod_idx",
    };
    let _ = write!(
        text,
        " UNION ALL (SELECT modified, id, sortindex, {payload} FROM bso FORCE INDEX ({index}) \
         WHERE userid = ? AND collection = {key} AND ttl > ?"
    );
    // Not to read what is refused anyway.
    let holds = match condition {
        Precondition::None => None,
        Precondition::ModifiedSince(_) => Some(">"),
        Precondition::UnmodifiedSince(_) => Some("<="),
    };
    if let Some(holds) = holds {
        let _ = write!(
            text,
            " AND EXISTS (SELECT 1 FROM user_collections WHERE userid = ? AND collection = {key} \
             AND last_modified - last_modified % 10 {holds} ?)"
        );
    }
    if let Some(count) = ids {
        text.push_str(" AND id IN ");
        placeholders(&mut text, count);
    }
    if query.newer.is_some() {
        text.push_str(" AND modified > ?");
    }
    if query.older.is_some() {
        text.push_str(" AND modified < ?");
    }
    let (column, direction, beyond) = match query.sort {
        Sort::Newest => ("modified", "DESC", "<"),
        Sort::Oldest => ("modified", "ASC", ">"),
        Sort::Index => ("sortindex", "DESC", "<"),
    };
    let _ = match &query.after {
        // None comes last, as it does by itself when the order is descending.
        Some(Cursor::Index(Some(_), _)) => {
            write!(text, " AND (sortindex < ? OR sortindex IS NULL OR (sortindex = ? AND id < ?))")
        }
        Some(Cursor::Index(None, _)) => write!(text, " AND sortindex IS NULL AND id < ?"),
        Some(Cursor::Modified(..)) => {
            write!(text, " AND (modified {beyond} ? OR (modified = ? AND id {beyond} ?))")
        }
        None => Ok(()),
    };
    if matches!(query.after, Some(Cursor::Index(None, _))) {
        // Named among the orders, the column that is null throughout would cost a sort.
        text.push_str(" ORDER BY id DESC LIMIT ?)");
    } else {
        let _ = write!(text, " ORDER BY {column} {direction}, id {direction} LIMIT ?)");
    }
    text
}
