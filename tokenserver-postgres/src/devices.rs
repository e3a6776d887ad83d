//! The table `syncserver_devices`.

use diesel::sql_types::{BigInt, Text};
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{Agent, DEVICE_INTERVAL_MS, DeviceEntry, MAX_DEVICES, columns};

const LAST_SEEN: &str = "SELECT last_seen FROM syncserver_devices WHERE uid = $1 AND agent = $2";

/// Only for a row of `users`, which may be gone by now. Makes room for the row first: what is inserted is not seen by
/// the rest of the statement.
const NOTE: &str = "
    WITH oldest AS (
        DELETE FROM syncserver_devices
        WHERE uid = $1 AND agent IN (
            SELECT agent FROM syncserver_devices
            WHERE uid = $1 AND agent <> $2
            ORDER BY last_seen DESC, first_seen DESC, agent
            OFFSET $5
        )
    )
    INSERT INTO syncserver_devices AS known (uid, agent, user_agent, first_seen, last_seen)
    SELECT uid, $2, $3, $4, $4 FROM users WHERE uid = $1
    ON CONFLICT (uid, agent) DO UPDATE SET
        user_agent = excluded.user_agent,
        last_seen = greatest(known.last_seen, excluded.last_seen)";

const LIST: &str = "
    SELECT user_agent, first_seen, last_seen
    FROM syncserver_devices
    WHERE uid = $1
    ORDER BY last_seen DESC, first_seen DESC, agent";

/// See [`TokenAdmin::note_device`](tokenserver_db_common::TokenAdmin::note_device).
pub(crate) async fn note(engine: &PostgresEngine, uid: UserId, agent: &Agent, now_ms: i64) -> Result<(), Fault> {
    let seen: Option<(i64,)> = engine
        .read(|conn| {
            let statement = sql::<(BigInt,)>(LAST_SEEN).bind::<BigInt, _>(uid.get());
            statement.bind::<Text, _>(agent.key().to_owned()).row(conn)
        })
        .await?;
    if seen.is_some_and(|(last_seen,)| last_seen > now_ms.saturating_sub(DEVICE_INTERVAL_MS)) {
        return Ok(());
    }
    engine
        .write(|conn| {
            let statement = sql::<()>(NOTE)
                .bind::<BigInt, _>(uid.get())
                .bind::<Text, _>(agent.key().to_owned())
                .bind::<Text, _>(agent.user_agent().to_owned())
                .bind::<BigInt, _>(now_ms)
                .bind::<BigInt, _>(i64::from(MAX_DEVICES) - 1);
            statement.run(conn)
        })
        .await
        .map(drop)
}

/// See [`TokenAdmin::devices`](tokenserver_db_common::TokenAdmin::devices).
pub(crate) async fn list(engine: &PostgresEngine, uid: UserId) -> Result<Vec<DeviceEntry>, Fault> {
    engine.read(|conn| sql::<columns::DeviceEntry>(LIST).bind::<BigInt, _>(uid.get()).rows(conn)).await
}
