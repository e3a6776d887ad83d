//! What a write has to know before it decides: one statement, once the user's lock is held.

use std::collections::HashMap;

use diesel::mysql::Mysql;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use network_engine::Sql;
use network_engine::mysql::sql;
use syncstorage_db_common::{BsoId, Fault, SyncTimestamp};

use crate::rows::{padded, placeholders};
use crate::transaction::{Transaction, Usage};

/// The store, a collection and some of its records as a write finds them.
pub(crate) struct Found {
    /// Of the store.
    pub(crate) store_modified: SyncTimestamp,
    /// `None` where the user has no such collection.
    pub(crate) modified: Option<SyncTimestamp>,
    /// Where there is a quota.
    pub(crate) usage: Option<Usage>,
    /// Those of the records that are there and have not expired.
    pub(crate) rows: HashMap<String, Row>,
}

/// A record's row without its payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) modified: SyncTimestamp,
    pub(crate) sortindex: Option<i64>,
    /// Ms since the epoch.
    pub(crate) expiry: i64,
    /// Bytes of payload.
    pub(crate) size: i64,
}

impl Found {
    /// What a precondition on the collection is compared with.
    pub(crate) fn last_modified(&self) -> SyncTimestamp {
        self.modified.unwrap_or(SyncTimestamp::ZERO)
    }
}

/// The store, the collection, the usage.
pub(crate) type FoundColumns =
    (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>);
/// The values of [`FoundColumns`].
pub(crate) type FoundRow = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

/// The part of a statement that gives [`FoundColumns`]. The time of the last deletion stands in the row of collection 0
/// and counts for the store.
const STORE: &str = "(SELECT MAX(last_modified) FROM user_collections WHERE userid = ?), c.last_modified";

const USED: &str = ", q.used, q.bytes, q.records";

const NOT_COUNTED: &str = ", CAST(NULL AS SIGNED), CAST(NULL AS SIGNED), CAST(NULL AS SIGNED)";

/// Where they come from: the row that is locked, which is there and costs nothing more to look at.
const LOCKED: &str = "
    FROM syncserver_stores l";

/// All that the user has is looked at: what has expired is not told by any sum.
const USAGE: &str = "
    JOIN (
        SELECT
            CAST(COALESCE(SUM(payload_size), 0) AS SIGNED) AS used,
            CAST(COALESCE(SUM(IF(collection = ?, payload_size, 0)), 0) AS SIGNED) AS bytes,
            CAST(COALESCE(SUM(collection = ?), 0) AS SIGNED) AS records
        FROM bso FORCE INDEX (PRIMARY)
        WHERE userid = ? AND ttl > ?
    ) q";

const COLLECTION: &str = "
    LEFT JOIN user_collections c ON c.userid = l.userid AND c.collection = ?";

/// Comes after all tables.
pub(crate) const OF_USER: &str = "
    WHERE l.userid = ?";

/// The index is named so that no plan ever walks, and locks, the rows of other users.
const ROWS: &str = "
    LEFT JOIN bso b FORCE INDEX (PRIMARY)
        ON b.userid = l.userid AND b.collection = ? AND b.ttl > ? AND b.id IN ";

/// A record may expire any moment, and the purge may then take it away. It has to stay until it is written.
const LOCK: &str = "
    FOR UPDATE";

type Columns = (FoundColumns, Nullable<Text>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>);
type Values = (FoundRow, Option<String>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Transaction<'_> {
    /// Looks up the collection, and those of its records that `ids` name.
    pub(crate) async fn find(&mut self, collection: i64, ids: Vec<&BsoId>) -> Result<Found, Fault> {
        let ids = padded(ids);
        let mut text = String::with_capacity(1200);
        self.push_found(
            &mut text,
            match ids.is_empty() {
                true => ", NULL, NULL, NULL, NULL, NULL",
                false => ", b.id, b.modified, b.sortindex, b.ttl, b.payload_size",
            },
        );
        if !ids.is_empty() {
            text.push_str(ROWS);
            placeholders(&mut text, ids.len());
        }
        text.push_str(OF_USER);
        if !ids.is_empty() {
            text.push_str(LOCK);
        }
        let mut statement = self.bind_found(sql::<Columns>(text), collection);
        if !ids.is_empty() {
            statement = statement.bind::<BigInt, _>(collection).bind::<BigInt, _>(self.now_ms);
            for id in ids {
                statement = statement.bind::<Binary, _>(id.as_str().as_bytes().to_vec());
            }
        }
        statement = statement.bind::<BigInt, _>(self.user);
        let rows: Vec<Values> = statement.rows(self.conn).await?;
        let Some((found, ..)) = rows.first() else {
            return Err(Fault::internal("the look at a store gave no row"));
        };
        let mut found = Found::new(*found);
        for row in rows {
            if let (_, Some(id), Some(modified), sortindex, Some(expiry), Some(size)) = row {
                let modified = SyncTimestamp::from_ms(modified);
                found.rows.insert(id, Row { modified, sortindex, expiry, size });
            }
        }
        Ok(found)
    }

    /// Begins a statement that gives [`FoundColumns`] and these further columns, up to its tables.
    pub(crate) fn push_found(&self, text: &mut String, columns: &str) {
        let (used, usage) = if self.options.quota.is_some() { (USED, USAGE) } else { (NOT_COUNTED, "") };
        for part in ["SELECT ", STORE, used, columns, LOCKED, usage, COLLECTION] {
            text.push_str(part);
        }
    }

    /// The values for [`Self::push_found`].
    pub(crate) fn bind_found<'a, Row>(&self, statement: Sql<'a, Mysql, Row>, collection: i64) -> Sql<'a, Mysql, Row> {
        let mut statement = statement.bind::<BigInt, _>(self.user);
        if self.options.quota.is_some() {
            statement = statement
                .bind::<BigInt, _>(collection)
                .bind::<BigInt, _>(collection)
                .bind::<BigInt, _>(self.user)
                .bind::<BigInt, _>(self.now_ms);
        }
        statement.bind::<BigInt, _>(collection)
    }
}

impl Found {
    pub(crate) fn new((store, modified, used, bytes, records): FoundRow) -> Self {
        let usage = match (used, bytes, records) {
            (Some(used), Some(bytes), Some(records)) => Some(Usage { used, bytes, records }),
            _ => None,
        };
        Self {
            store_modified: SyncTimestamp::from_ms(store.unwrap_or(0)),
            modified: modified.map(SyncTimestamp::from_ms),
            usage,
            rows: HashMap::new(),
        }
    }
}
