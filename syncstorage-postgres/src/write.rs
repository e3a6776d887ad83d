//! PUT, POST, and batches.

use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use syncstorage_db_common::{BATCH_LIFETIME_MS, BatchId, BatchLimits, BsoChange, NO_PAYLOAD, Patch};

use crate::call::{Call, Columns, Statement, Target, clamp};
use crate::time::{Moment, bounds, timestamp};

/// How a change says that a record is to live for ever.
const NEVER_SECONDS: i64 = 2_100_000_000;

/// A change, as the functions take it: null says nothing of a field.
struct Fields {
    sortindex: Option<i32>,
    /// Whether the sortindex is to be reset; null where it is not, as that is how a batch keeps it.
    reset: Option<bool>,
    payload: Option<String>,
    ttl: Option<i64>,
}

impl From<&BsoChange> for Fields {
    fn from(change: &BsoChange) -> Self {
        let (sortindex, reset) = match change.sortindex {
            Patch::Keep => (None, None),
            Patch::Reset => (None, Some(true)),
            Patch::Set(sortindex) => (Some(sortindex), None),
        };
        let payload = match &change.payload {
            Patch::Keep => None,
            Patch::Reset => Some(NO_PAYLOAD.to_owned()),
            Patch::Set(payload) => Some(payload.clone()),
        };
        let ttl = match change.ttl {
            Patch::Keep => None,
            Patch::Reset => Some(NEVER_SECONDS),
            Patch::Set(ttl) => Some(i64::from(ttl)),
        };
        Self { sortindex, reset, payload, ttl }
    }
}

/// Adds the five arrays of changes to a statement.
fn bind_changes(statement: Statement, changes: &[BsoChange]) -> Statement {
    let mut ids = Vec::with_capacity(changes.len());
    let mut sortindexes = Vec::with_capacity(changes.len());
    let mut resets = Vec::with_capacity(changes.len());
    let mut payloads = Vec::with_capacity(changes.len());
    let mut ttls = Vec::with_capacity(changes.len());
    for change in changes {
        let fields = Fields::from(change);
        ids.push(change.id.to_string());
        sortindexes.push(fields.sortindex);
        resets.push(fields.reset);
        payloads.push(fields.payload);
        ttls.push(fields.ttl);
    }
    statement
        .bind::<Array<Text>, _>(ids)
        .bind::<Array<Nullable<Integer>>, _>(sortindexes)
        .bind::<Array<Nullable<Bool>>, _>(resets)
        .bind::<Array<Nullable<Text>>, _>(payloads)
        .bind::<Array<Nullable<BigInt>>, _>(ttls)
}

/// The id that no batch has.
const NO_BATCH: &str = "00000000-0000-0000-0000-000000000000";

/// A batch id as the functions take it. The database would take other forms for the same id, or would not know what
/// to do with them; none was given out in such a form, so that it is to be looked for in vain, after all else that
/// may refuse the request first.
pub(crate) fn known_form(batch: &BatchId) -> BatchId {
    if is_batch_id(&batch.0) { batch.clone() } else { BatchId(NO_BATCH.to_owned()) }
}

/// Whether a text has the form in which batch ids are given out.
fn is_batch_id(text: &str) -> bool {
    text.len() == NO_BATCH.len()
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// PUT of one record.
pub(crate) struct Put {
    pub(crate) target: Target,
    pub(crate) change: BsoChange,
}

impl Call for Put {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, used, NULL::text
            FROM syncserver_put_bso($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        let fields = Fields::from(&self.change);
        self.target
            .statement(TEXT, moment)
            .bind::<Text, _>(self.change.id.to_string())
            .bind::<Nullable<Integer>, _>(fields.sortindex)
            .bind::<Bool, _>(fields.reset.unwrap_or(false))
            .bind::<Nullable<Text>, _>(fields.payload)
            .bind::<Nullable<BigInt>, _>(fields.ttl)
    }

    fn target(&self) -> &Target {
        &self.target
    }
}

/// POST of records; with a batch, its commit.
pub(crate) struct Post {
    pub(crate) target: Target,
    pub(crate) changes: Vec<BsoChange>,
    pub(crate) batch: Option<BatchId>,
    pub(crate) limits: BatchLimits,
}

impl Call for Post {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, used, NULL::text
            FROM syncserver_post_bsos(
                $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::uuid, $16, $17
            )";
        bind_changes(self.target.statement(TEXT, moment), &self.changes)
            .bind::<Nullable<Text>, _>(self.batch.as_ref().map(|batch| batch.0.clone()))
            .bind::<BigInt, _>(clamp(self.limits.records))
            .bind::<BigInt, _>(clamp(self.limits.bytes))
    }

    fn target(&self) -> &Target {
        &self.target
    }
}

/// The beginning of a batch, or more of it.
pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) changes: Vec<BsoChange>,
    /// `None`: a new one.
    pub(crate) batch: Option<BatchId>,
    pub(crate) limits: BatchLimits,
}

impl Call for Stage {
    fn statement(&self, moment: Moment) -> Statement {
        const TEXT: &str = "
            SELECT outcome, stamp, collection, NULL::bigint, batch::text
            FROM syncserver_stage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::uuid, $14, $15)";
        let (modified_since, unmodified_since) = bounds(self.target.condition);
        let statement = network_engine::postgres::sql::<Columns>(TEXT)
            .bind::<BigInt, _>(self.target.user.get())
            .bind::<Timestamptz, _>(moment.now())
            .bind::<Timestamptz, _>(timestamp(moment.now_ms + BATCH_LIFETIME_MS))
            .bind::<Timestamptz, _>(modified_since)
            .bind::<Timestamptz, _>(unmodified_since)
            .bind::<Nullable<Integer>, _>(self.target.number)
            .bind::<Nullable<Text>, _>(self.target.name());
        bind_changes(statement, &self.changes)
            .bind::<Nullable<Text>, _>(self.batch.as_ref().map(|batch| batch.0.clone()))
            .bind::<BigInt, _>(clamp(self.limits.records))
            .bind::<BigInt, _>(clamp(self.limits.bytes))
    }

    fn target(&self) -> &Target {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_that_is_given_out_is_a_batch_id() {
        assert!(is_batch_id("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"));
        for text in [
            "",
            "\0",
            "6F9619FF-8B86-4D01-B42D-00CF4FC964FF",
            "6f9619ff8b864d01b42d00cf4fc964ff",
            "{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964f",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964f ",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964fg",
        ] {
            assert!(!is_batch_id(text), "{text:?}");
        }
    }
}
