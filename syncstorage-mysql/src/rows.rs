//! Statements over many rows.
//!
//! A statement's prepared form is kept by its text, and the text has a placeholder for every value. So that there are
//! few texts, each comes in a few sizes only, and what is missing to the next size is filled up by saying the last row
//! again in a way that changes nothing.

use std::fmt::Write;
use std::sync::Arc;

use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use network_engine::mysql::sql;
use syncstorage_db_common::{BsoChange, BsoId, Fault};

use crate::transaction::{Conn, Transaction};

/// How many rows a statement may have. A POST has 1 to 100 with the default limits.
const SIZES: [usize; 15] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 250, 1000];

/// The most rows.
const MOST: usize = 1000;

/// Bytes of payload after which a statement is ended: a quarter of what the smaller of the usual `max_allowed_packet` is,
/// with room for a payload of the greatest size.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The least size for so many rows, which are no more than [`MOST`].
fn size(rows: usize) -> usize {
    SIZES.into_iter().find(|size| *size >= rows).unwrap_or(rows)
}

/// The ids of one IN, filled up to a size. More than [`MOST`] are left as many as they are.
pub(crate) fn padded(mut ids: Vec<&BsoId>) -> Vec<&BsoId> {
    if let Some(last) = ids.last().copied() {
        ids.resize(size(ids.len()), last);
    }
    ids
}

/// `(?, ?, …)`
pub(crate) fn placeholders(text: &mut String, count: usize) {
    text.push('(');
    for index in 0..count {
        text.push_str(if index == 0 { "?" } else { ", ?" });
    }
    text.push(')');
}

/// Changes in the order of their ids, so that all transactions lock records in one order.
pub(crate) fn in_order(mut changes: Vec<BsoChange>) -> Arc<[BsoChange]> {
    changes.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    changes.into()
}

/// Splits rows into those of one statement each.
fn chunks<T>(mut rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |row: &T| {
            let first = sum == 0;
            sum += bytes(row).max(1);
            first || sum <= MOST_BYTES
        };
        let length = rows.iter().take(MOST).map(fits).take_while(|fits| *fits).count();
        let (chunk, rest) = rows.split_at(length);
        rows = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// A record as it is to be stored.
pub(crate) struct NewRow<'a> {
    pub(crate) id: &'a BsoId,
    pub(crate) modified: i64,
    pub(crate) sortindex: Option<i64>,
    /// Ms since the epoch.
    pub(crate) expiry: i64,
    /// `None`: the row is there, and keeps its payload.
    pub(crate) payload: Option<&'a str>,
}

/// A payload that stays is told by a size that no payload has: a null would not get past NOT NULL.
const UPSERT: &str = "
    ON DUPLICATE KEY UPDATE
        sortindex = VALUES(sortindex),
        payload = IF(VALUES(payload_size) < 0, payload, VALUES(payload)),
        payload_size = IF(VALUES(payload_size) < 0, payload_size, VALUES(payload_size)),
        modified = VALUES(modified),
        ttl = VALUES(ttl)";

/// Writes records, in the order of their ids.
pub(crate) async fn upsert(tx: &mut Transaction<'_>, collection: i64, rows: &[NewRow<'_>]) -> Result<(), Fault> {
    for chunk in chunks(rows, |row| row.payload.map_or(0, str::len)) {
        let size = size(chunk.len());
        let mut text = String::with_capacity(512 + size * 26);
        text.push_str(
            "INSERT INTO bso (userid, collection, id, sortindex, payload, payload_size, modified, ttl) VALUES ",
        );
        values(&mut text, size, 8);
        text.push_str(UPSERT);
        let mut statement = sql(text);
        let again = chunk.last().map(|row| NewRow { payload: None, ..*row });
        for row in chunk.iter().chain(again.iter().cycle().take(size - chunk.len())) {
            statement = statement
                .bind::<BigInt, _>(tx.user)
                .bind::<BigInt, _>(collection)
                .bind::<Binary, _>(row.id.as_str().as_bytes())
                .bind::<Nullable<BigInt>, _>(row.sortindex)
                .bind::<Text, _>(row.payload.unwrap_or(""))
                .bind::<BigInt, _>(row.payload.map_or(-1, length))
                .bind::<BigInt, _>(row.modified)
                .bind::<BigInt, _>(row.expiry);
        }
        statement.run(tx.conn).await?;
    }
    Ok(())
}

/// A record as a batch holds it. What is `None` is what the batch says nothing of.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) id: &'a BsoId,
    pub(crate) sortindex: Option<i64>,
    /// The sortindex is taken away.
    pub(crate) sortindex_reset: bool,
    pub(crate) payload: Option<&'a str>,
    /// Seconds from the commit.
    pub(crate) ttl: Option<i64>,
}

/// Assigned from left to right.
const MERGE: &str = "
    ON DUPLICATE KEY UPDATE
        sortindex = IF(VALUES(sortindex) IS NULL AND VALUES(sortindex_reset) IS NULL, sortindex, VALUES(sortindex)),
        sortindex_reset = IF(VALUES(sortindex) IS NULL, COALESCE(VALUES(sortindex_reset), sortindex_reset), NULL),
        payload = COALESCE(VALUES(payload), payload),
        payload_size = COALESCE(VALUES(payload_size), payload_size),
        ttl_offset = COALESCE(VALUES(ttl_offset), ttl_offset)";

/// Puts records into a batch, over what it says of them already.
pub(crate) async fn merge(conn: &mut Conn, user: i64, batch: i64, items: &[Item<'_>]) -> Result<(), Fault> {
    for chunk in chunks(items, |item| item.payload.map_or(0, str::len)) {
        let size = size(chunk.len());
        let mut text = String::with_capacity(1024 + size * 26);
        text.push_str(
            "INSERT INTO batch_upload_items \
             (batch, userid, id, sortindex, sortindex_reset, payload, payload_size, ttl_offset) VALUES ",
        );
        values(&mut text, size, 8);
        text.push_str(MERGE);
        let mut statement = sql(text);
        let again = chunk.last().map(|item| Item {
            sortindex: None,
            sortindex_reset: false,
            payload: None,
            ttl: None,
            ..*item
        });
        for item in chunk.iter().chain(again.iter().cycle().take(size - chunk.len())) {
            statement = statement
                .bind::<BigInt, _>(batch)
                .bind::<BigInt, _>(user)
                .bind::<Binary, _>(item.id.as_str().as_bytes())
                .bind::<Nullable<BigInt>, _>(item.sortindex)
                .bind::<Nullable<BigInt>, _>(item.sortindex_reset.then_some(1_i64))
                .bind::<Nullable<Text>, _>(item.payload)
                .bind::<Nullable<BigInt>, _>(item.payload.map(length))
                .bind::<Nullable<BigInt>, _>(item.ttl);
        }
        statement.run(conn).await?;
    }
    Ok(())
}

fn length(payload: &str) -> i64 {
    i64::try_from(payload.len()).unwrap_or(i64::MAX)
}

/// `(?, …), (?, …), …`
fn values(text: &mut String, rows: usize, columns: usize) {
    let mut row = String::with_capacity(columns * 3);
    placeholders(&mut row, columns);
    for index in 0..rows {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{row}", if index == 0 { "" } else { ", " });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_by_number_and_by_bytes() {
        let lengths = |rows: &[usize]| chunks(rows, |bytes| *bytes).map(<[_]>::len).collect::<Vec<_>>();
        let quarter = MOST_BYTES / 4;
        assert_eq!(lengths(&[]), Vec::<usize>::new());
        assert_eq!(lengths(&[0; 100]), [100]);
        assert_eq!(lengths(&[0; 2345]), [1000, 1000, 345]);
        assert_eq!(lengths(&[quarter; 9]), [4, 4, 1]);
        assert_eq!(lengths(&[MOST_BYTES * 2, 1, MOST_BYTES, 1]), [1, 1, 1, 1]);
    }

    #[test]
    fn the_sizes_are_few_and_reach_the_most() {
        assert!((1..=MOST).all(|rows| size(rows) >= rows && size(rows) <= MOST));
        let ids: Vec<BsoId> = ["a", "b", "c", "d", "e"].map(|id| BsoId::new(id).unwrap()).to_vec();
        let texts: Vec<&str> = padded(ids.iter().collect()).into_iter().map(BsoId::as_str).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "e", "e"]);
        assert!(padded(Vec::new()).is_empty());
    }
}
