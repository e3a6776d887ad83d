//! Open batches: their ids, and what is known of one before something is done with it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use network_engine::mysql::sql;
use syncstorage_db_common::{BATCH_LIFETIME_MS, BatchId, BsoChange, DbError, Fault, Patch};

use crate::find::{Found, FoundColumns, FoundRow, OF_USER};
use crate::rows::{padded, placeholders};
use crate::transaction::Transaction;

/// How far the number of a batch may be from the time of its opening, in ms: a good quarter of an hour. syncstorage-rs
/// takes the number for that time, and need not be told it to the second; and an id that a client makes up or has from
/// another user is not found.
pub(crate) const SPREAD_MS: i64 = 1 << 20;

/// The number for a batch that is opened now.
pub(crate) fn new_number(now_ms: i64) -> i64 {
    let random = RandomState::new().hash_one(now_ms);
    // The modulus makes it small enough.
    now_ms + 1 + i64::try_from(random % SPREAD_MS.unsigned_abs()).unwrap_or(0)
}

/// The id of a batch as clients know it: the base64 of the decimal number.
pub(crate) fn id(number: i64) -> BatchId {
    BatchId(STANDARD.encode(number.to_string()))
}

/// The number of an id; `None` where the id is none that was given out. The padding may have been lost on the way.
pub(crate) fn number(id: &BatchId) -> Option<i64> {
    let text = id.0.trim_end_matches('=');
    if text.len() > 28 {
        // More digits than a number has.
        return None;
    }
    let number: i64 = String::from_utf8(STANDARD_NO_PAD.decode(text).ok()?).ok()?.parse().ok()?;
    // Another way to write the number is no id that was given out.
    (STANDARD_NO_PAD.encode(number.to_string()) == text).then_some(number)
}

/// The store, the collection and a batch as a write finds them.
pub(crate) struct FoundBatch {
    pub(crate) found: Found,
    /// `None` where the number is free.
    pub(crate) batch: Option<OpenBatch>,
    /// Records that it holds.
    records: i64,
    /// Bytes of payload that it holds.
    bytes: i64,
    /// What it holds of the records that were asked for, in bytes.
    sizes: HashMap<String, i64>,
}

/// A row of `batch_uploads`.
pub(crate) struct OpenBatch {
    collection: i64,
    /// Ms since the epoch.
    created: i64,
}

const ITEM_COLUMNS: &str =
    ", t.records, t.bytes, u.collection, COALESCE(u.created, u.batch), i.id, COALESCE(i.payload_size, 0)";

const NO_ITEM_COLUMNS: &str = ", t.records, t.bytes, u.collection, COALESCE(u.created, u.batch), NULL, NULL";

const BATCH: &str = "
    JOIN (
        SELECT COUNT(*) AS records, CAST(COALESCE(SUM(payload_size), 0) AS SIGNED) AS bytes
        FROM batch_upload_items FORCE INDEX (PRIMARY)
        WHERE batch = ? AND userid = ?
    ) t
    LEFT JOIN batch_uploads u ON u.batch = ? AND u.userid = ?";

const ITEMS: &str = "
    LEFT JOIN batch_upload_items i FORCE INDEX (PRIMARY) ON i.batch = ? AND i.userid = ? AND i.id IN ";

type Columns = (FoundColumns, BigInt, BigInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<Text>, Nullable<BigInt>);
type Values = (FoundRow, i64, i64, Option<i64>, Option<i64>, Option<String>, Option<i64>);

impl Transaction<'_> {
    /// Looks up the collection, a batch, and what it says of the records that are to be changed.
    pub(crate) async fn find_batch(
        &mut self,
        collection: i64,
        batch: i64,
        changes: &[BsoChange],
    ) -> Result<FoundBatch, Fault> {
        let ids = padded(changes.iter().map(|change| &change.id).collect());
        let mut text = String::with_capacity(1600);
        self.push_found(&mut text, if ids.is_empty() { NO_ITEM_COLUMNS } else { ITEM_COLUMNS });
        text.push_str(BATCH);
        if !ids.is_empty() {
            text.push_str(ITEMS);
            placeholders(&mut text, ids.len());
        }
        text.push_str(OF_USER);
        let user = self.user;
        let mut statement = self
            .bind_found(sql::<Columns>(text), collection)
            .bind::<BigInt, _>(batch)
            .bind::<BigInt, _>(user)
            .bind::<BigInt, _>(batch)
            .bind::<BigInt, _>(user);
        if !ids.is_empty() {
            statement = statement.bind::<BigInt, _>(batch).bind::<BigInt, _>(user);
            for id in ids {
                statement = statement.bind::<Binary, _>(id.as_str().as_bytes());
            }
        }
        statement = statement.bind::<BigInt, _>(user);
        let rows: Vec<Values> = statement.rows(self.conn).await?;
        let Some((found, records, bytes, batch_collection, created, ..)) = rows.first() else {
            return Err(Fault::internal("the look at a batch gave no row"));
        };
        Ok(FoundBatch {
            found: Found::new(*found),
            batch: batch_collection.zip(*created).map(|(collection, created)| OpenBatch { collection, created }),
            records: *records,
            bytes: *bytes,
            sizes: rows.into_iter().filter_map(|(.., id, size)| id.zip(size)).collect(),
        })
    }
}

impl FoundBatch {
    /// Whether something may be done with the batch, as one of this collection.
    pub(crate) fn check_open(&self, collection: i64, now_ms: i64) -> Result<(), DbError> {
        match &self.batch {
            Some(batch) if batch.collection == collection && batch.created + BATCH_LIFETIME_MS >= now_ms => Ok(()),
            _ => Err(DbError::BatchNotFound),
        }
    }

    /// Whether the batch may hold these as well. A record counts once, with its last payload.
    pub(crate) fn check_room(&self, tx: &Transaction<'_>, changes: &[BsoChange]) -> Result<(), DbError> {
        let (mut records, mut bytes) = (self.records, self.bytes);
        for change in changes {
            let held = self.sizes.get(change.id.as_str());
            records += i64::from(held.is_none());
            if !matches!(change.payload, Patch::Keep) {
                bytes += i64::try_from(change.payload_bytes()).unwrap_or(i64::MAX) - held.unwrap_or(&0);
            }
        }
        let limits = tx.options.batch;
        let too_large = records.max(0).unsigned_abs() > limits.records || bytes.max(0).unsigned_abs() > limits.bytes;
        if too_large { Err(DbError::BatchTooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_base64_of_the_number() {
        assert_eq!(id(1_700_000_000_000).0, "MTcwMDAwMDAwMDAwMA==");
        for number in [0, 1, 12, 123, 1_700_000_000_000, 1_700_000_000_001, i64::MAX] {
            let id = id(number);
            assert_eq!(super::number(&id), Some(number));
            assert_eq!(super::number(&BatchId(id.0.trim_end_matches('=').to_owned())), Some(number));
        }
    }

    #[test]
    fn what_was_not_given_out_is_no_id() {
        let encode = |text: &str| STANDARD.encode(text);
        for text in ["", "====", "17", "é", &encode("+1"), &encode("01"), &encode(" 1"), &encode("x"), &"M".repeat(99)]
        {
            assert_eq!(number(&BatchId(text.to_owned())), None, "{text:?}");
        }
    }

    #[test]
    fn the_number_of_a_batch_is_about_the_time() {
        for now_ms in [0, 1_700_000_000_000] {
            let number = new_number(now_ms);
            assert!((now_ms + 1..=now_ms + SPREAD_MS).contains(&number), "{number}");
        }
    }
}
