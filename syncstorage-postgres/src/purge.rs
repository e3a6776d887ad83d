//! Removal of what has expired.

use std::sync::{Mutex, PoisonError};

use diesel::sql_types::{BigInt, Integer, Timestamptz};
use network_engine::postgres::sql;
use syncstorage_db_common::{Fault, PurgeBudget, Purged};

use crate::PostgresDb;
use crate::time::Moment;

/// A user and the number of a collection's name.
type Place = (i64, i32);

/// Before all of them.
const START: Place = (-1, -1);

/// Where the next purge goes on. The index on expiry begins with the user and the collection, so that each collection
/// has to be looked at by itself; without this, every call would begin with those that others have been through.
#[derive(Debug)]
pub(crate) struct Sweep(Mutex<Place>);

impl Default for Sweep {
    fn default() -> Self {
        Self(Mutex::new(START))
    }
}

impl Sweep {
    fn place(&self) -> Place {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn go_to(&self, place: Place) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

/// Rows that a write has in hand are left for the next time: a purge waits for nobody, and so is in no deadlock.
/// Answers with the number of rows, and the last collection that they were of.
const DELETE_BSOS: &str = "
    WITH deleted AS (
        DELETE FROM bsos WHERE ctid = ANY (ARRAY(
            SELECT b.row
            FROM (
                SELECT user_id, collection_id FROM user_collections
                WHERE (user_id, collection_id) >= ($3, $4)
                ORDER BY user_id, collection_id
            ) c CROSS JOIN LATERAL (
                SELECT ctid AS row FROM bsos
                WHERE user_id = c.user_id AND collection_id = c.collection_id AND expiry <= $1
                LIMIT $2
                FOR UPDATE SKIP LOCKED
            ) b
            LIMIT $2
        ))
        RETURNING user_id, collection_id
    )
    SELECT count(*) OVER (), user_id, collection_id FROM deleted
    ORDER BY user_id DESC, collection_id DESC
    LIMIT 1";

/// What a batch holds goes with it.
const DELETE_BATCHES: &str = "
    DELETE FROM batches WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM batches WHERE expiry < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
    ))";

impl PostgresDb {
    /// The rows that only a batch needed stay: they are no collections, and the next write to such a collection uses
    /// them.
    pub(crate) async fn purge_some(&self, budget: PurgeBudget) -> Result<Purged, Fault> {
        let limit = i64::from(budget.rows);
        let bsos = self.purge_bsos(limit).await?;
        // A batch holds many rows: a few of them are as much work as all the rest.
        let few = (limit / 100).max(1).min(limit - bsos);
        let now = Moment::of(&self.options.clock).now();
        let batches = self
            .engine
            .write(move |conn| {
                let statement = sql::<()>(DELETE_BATCHES).bind::<Timestamptz, _>(now).bind::<BigInt, _>(few);
                statement.run(conn.without_limit())
            })
            .await?;
        let batches = i64::try_from(batches).map_err(Fault::internal)?;
        Ok(Purged { bsos: bsos.unsigned_abs(), batches: batches.unsigned_abs(), more: bsos >= limit || batches >= few })
    }

    /// Removes records from where the last call ended to the end of all users, and then from the first user on. With
    /// fewer than it might have removed, it has been everywhere.
    async fn purge_bsos(&self, limit: i64) -> Result<i64, Fault> {
        let from = self.sweep.place();
        let (mut deleted, mut last) = self.purge_from(from, limit).await?;
        if deleted < limit && from != START {
            let more;
            (more, last) = self.purge_from(START, limit - deleted).await?;
            deleted += more;
        }
        self.sweep.go_to(if deleted < limit { START } else { last });
        Ok(deleted)
    }

    /// How many it removed, and where it was at the end.
    async fn purge_from(&self, (user, collection): Place, limit: i64) -> Result<(i64, Place), Fault> {
        let now = Moment::of(&self.options.clock).now();
        let found: Option<(i64, i64, i32)> = self
            .engine
            .write(move |conn| {
                sql::<(BigInt, BigInt, Integer)>(DELETE_BSOS)
                    .bind::<Timestamptz, _>(now)
                    .bind::<BigInt, _>(limit)
                    .bind::<BigInt, _>(user)
                    .bind::<Integer, _>(collection)
                    .row(conn.without_limit())
            })
            .await?;
        Ok(found.map_or((0, START), |(deleted, user, collection)| (deleted, (user, collection))))
    }
}
