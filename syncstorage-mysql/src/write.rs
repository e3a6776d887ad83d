//! PUT and plain POST.

use std::sync::Arc;

use syncstorage_db_common::{BsoChange, NEVER_MS, NO_PAYLOAD, Patch, Precondition, SyncTimestamp, Written, expiry};

use crate::find::{Found, Row};
use crate::rows::{NewRow, upsert};
use crate::transaction::{Failure, Growth, Transaction};

pub(crate) async fn put(
    mut tx: Transaction<'_>,
    collection: i64,
    change: Arc<BsoChange>,
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection, vec![&change.id]).await?;
    let row = found.rows.get(change.id.as_str());
    condition.check(row.map_or(SyncTimestamp::ZERO, |row| row.modified))?;
    write(tx, collection, std::slice::from_ref(&*change), &found).await
}

pub(crate) async fn post(
    mut tx: Transaction<'_>,
    collection: i64,
    changes: Arc<[BsoChange]>,
    condition: Precondition,
) -> Result<Written, Failure> {
    let found = tx.find(collection, changes.iter().map(|change| &change.id).collect()).await?;
    condition.check(found.last_modified())?;
    write(tx, collection, &changes, &found).await
}

async fn write(
    mut tx: Transaction<'_>,
    collection: i64,
    changes: &[BsoChange],
    found: &Found,
) -> Result<Written, Failure> {
    let time = tx.time(found.store_modified)?;
    let mut growth = Growth::default();
    let rows: Vec<NewRow<'_>> = changes
        .iter()
        .map(|change| {
            let (row, one) = apply(change, found.rows.get(change.id.as_str()), time, tx.now_ms);
            growth.records += one.records;
            growth.bytes += one.bytes;
            row
        })
        .collect();
    // Before anything is sent for nothing.
    tx.written(time, found.usage, growth)?;
    upsert(&mut tx, collection, &rows).await?;
    Ok(tx.finish(collection, time, found.usage, growth)?)
}

/// What becomes of a record, whose row it is that has not expired. What the change does not say stays.
fn apply<'a>(change: &'a BsoChange, live: Option<&Row>, time: SyncTimestamp, now_ms: i64) -> (NewRow<'a>, Growth) {
    let sortindex = match change.sortindex {
        Patch::Keep => live.and_then(|row| row.sortindex),
        Patch::Reset => None,
        Patch::Set(sortindex) => Some(i64::from(sortindex)),
    };
    let never = time.as_ms() + NEVER_MS;
    let expiry = match change.ttl {
        Patch::Keep => live.map_or(never, |row| row.expiry),
        Patch::Reset => never,
        Patch::Set(ttl) => expiry(time, now_ms, ttl),
    };
    let modified = match live {
        Some(row) if !change.moves_modified() => row.modified,
        Some(_) | None => time,
    };
    let payload = match (&change.payload, live) {
        (Patch::Keep, Some(_)) => None,
        (Patch::Set(payload), _) => Some(payload.as_str()),
        (Patch::Keep | Patch::Reset, _) => Some(NO_PAYLOAD),
    };
    let old_size = live.map_or(0, |row| row.size);
    let size = payload.map_or(old_size, |payload| i64::try_from(payload.len()).unwrap_or(i64::MAX));
    let stays = expiry > now_ms;
    let growth = Growth {
        records: i64::from(stays) - i64::from(live.is_some()),
        bytes: if stays { size } else { 0 } - old_size,
    };
    (NewRow { id: &change.id, modified: modified.as_ms(), sortindex, expiry, payload }, growth)
}
