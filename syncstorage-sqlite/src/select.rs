//! The statement that selects records of a collection.

use std::fmt::Write;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{Sql, sql};
use syncstorage_db_common::{BsoId, BsoQuery, CollectionRef, Cursor, Fault, Sort, TimeBound};

use crate::list::{Columns, Extent};

/// The `rank` of a record without a sortindex.
const NO_SORTINDEX: i64 = -1_000_000_000;

pub(crate) type BsoRow = (Text, BigInt, Nullable<BigInt>, Text);

/// The conditions of a query. Of two bounds on one side of the same index SQLite makes a range of only one, and not
/// always of the tighter one; so the one that says less is left out here.
struct Conditions<'a> {
    /// Exclusive, in ms.
    newer: Option<i64>,
    /// Exclusive, in ms.
    older: Option<i64>,
    after: Option<&'a Cursor>,
}

impl<'a> Conditions<'a> {
    fn of(query: &'a BsoQuery) -> Self {
        let mut given = Self {
            // Every record is newer than the beginning of time.
            newer: query.newer.map(TimeBound::floor_ms).filter(|floor| *floor > 0),
            older: query.older.map(TimeBound::ceil_ms),
            after: query.after.as_ref(),
        };
        if let Some(Cursor::Modified(place, _)) = given.after {
            let place = place.as_ms();
            match query.sort {
                Sort::Oldest if given.newer.is_some_and(|newer| newer >= place) => given.after = None,
                Sort::Oldest => given.newer = None,
                Sort::Newest if given.older.is_some_and(|older| older <= place) => given.after = None,
                Sort::Newest => given.older = None,
                Sort::Index => {}
            }
        }
        given
    }
}

/// Up to so many records are sorted, where the alternative is to pass by all others of a collection.
const FEW_RECORDS: i64 = 1000;

const COUNT_BETWEEN: &str = "
    SELECT count(*) FROM (
        SELECT 1 FROM bsos INDEXED BY bsos_modified
        WHERE user_id = ? AND collection_id = ? AND modified > ? AND modified < ?
        LIMIT ?)";

/// The index that a query is answered by. It is not for SQLite to choose, which would have to guess at the contents:
///
/// - `ids` are looked up one by one;
/// - the orders by time walk the index of times, from the place of the cursor or from the bound on;
/// - so does the order by sortindex with its own index; but where `newer` or `older` leave a few records, as they mostly
///   do, these are found by their time and sorted.
fn index(
    conn: &mut SqliteConnection,
    at: &CollectionRef,
    extent: &Extent,
    query: &BsoQuery,
    given: &Conditions<'_>,
) -> Result<&'static str, Fault> {
    if query.ids.is_some() {
        return Ok("bsos_id");
    }
    match query.sort {
        Sort::Newest | Sort::Oldest => Ok("bsos_modified"),
        Sort::Index if given.newer.is_none() && given.older.is_none() => Ok("bsos_rank"),
        Sort::Index => {
            let count: Option<(i64,)> = sql::<(BigInt,)>(COUNT_BETWEEN)
                .bind(at.user.get())
                .bind(extent.collection_id)
                .bind(given.newer.unwrap_or(0))
                .bind(given.older.unwrap_or(i64::MAX))
                .bind(FEW_RECORDS + 1)
                .row(conn)?;
            let is_few = count.is_none_or(|(count,)| count <= FEW_RECORDS);
            Ok(if is_few { "bsos_modified" } else { "bsos_rank" })
        }
    }
}

/// The statement for a query; `ids` is its list as [`json_list`] makes it. The text depends on which conditions there
/// are, never on their values, so that the prepared forms are few.
pub(crate) fn statement<'a>(
    conn: &mut SqliteConnection,
    columns: Columns,
    at: &CollectionRef,
    extent: &Extent,
    query: &'a BsoQuery,
    ids: Option<&'a str>,
    now_ms: i64,
) -> Result<Sql<'a, BsoRow>, Fault> {
    let given = Conditions::of(query);
    let index = index(conn, at, extent, query, &given)?;
    let mut text = String::with_capacity(384);
    text.push_str(match columns {
        Columns::All => "SELECT id, modified, sortindex, payload",
        Columns::NoPayload => "SELECT id, modified, sortindex, ''",
    });
    // Writing to a String cannot fail.
    let _ = write!(text, " FROM bsos INDEXED BY {index} WHERE user_id = ? AND collection_id = ?");
    text.push_str(" AND (expiry IS NULL OR expiry > ?)");
    if ids.is_some() {
        text.push_str(" AND id IN (SELECT value FROM json_each(?))");
    }
    if given.newer.is_some() {
        text.push_str(" AND modified > ?");
    }
    if given.older.is_some() {
        text.push_str(" AND modified < ?");
    }
    let (key, direction, beyond) = match query.sort {
        Sort::Newest => ("modified", "DESC", "<"),
        Sort::Oldest => ("modified", "ASC", ">"),
        Sort::Index => ("rank", "DESC", "<"),
    };
    if given.after.is_some() {
        let _ = write!(text, " AND ({key}, id) {beyond} (?, ?)");
    }
    let _ = write!(text, " ORDER BY {key} {direction}, id {direction}");
    if query.limit.is_some() {
        text.push_str(" LIMIT ?");
    }

    let mut statement = sql::<BsoRow>(text).bind(at.user.get()).bind(extent.collection_id).bind(now_ms);
    if let Some(ids) = ids {
        statement = statement.bind(ids);
    }
    for bound in [given.newer, given.older].into_iter().flatten() {
        statement = statement.bind(bound);
    }
    if let Some(after) = given.after {
        let (key, id) = match after {
            Cursor::Modified(modified, id) => (modified.as_ms(), id),
            Cursor::Index(sortindex, id) => (sortindex.map_or(NO_SORTINDEX, i64::from), id),
        };
        statement = statement.bind(key).bind(id.as_str());
    }
    if let Some(limit) = query.limit {
        // One more than asked for tells whether there is a next page.
        statement = statement.bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    }
    Ok(statement)
}

/// The ids as a JSON list: one value for any number of them.
pub(crate) fn json_list(ids: &[BsoId]) -> String {
    let mut json = String::with_capacity(2 + ids.len() * 16);
    json.push('[');
    for (index, id) in ids.iter().enumerate() {
        json.push_str(if index == 0 { "\"" } else { ",\"" });
        // An id is printable ASCII: only these two have a meaning in a JSON string.
        for character in id.as_str().chars() {
            if matches!(character, '"' | '\\') {
                json.push('\\');
            }
            json.push(character);
        }
        json.push('"');
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_ids_make_a_json_list() {
        let ids = [r#"a"b"#, r"\", "{x,y}", "' OR 1"].map(|id| BsoId::new(id).unwrap());
        assert_eq!(json_list(&ids), r#"["a\"b","\\","{x,y}","' OR 1"]"#);
        assert_eq!(json_list(&[]), "[]");
    }
}
