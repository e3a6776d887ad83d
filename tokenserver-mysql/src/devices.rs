//! The table `syncserver_devices`.

use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{Agent, DEVICE_INTERVAL_MS, DeviceEntry, MAX_DEVICES, columns};

const LAST_SEEN: &str = "SELECT last_seen FROM syncserver_devices WHERE uid = ? AND agent = ?";

/// Only for a row of `users`, which may be gone by now.
const NOTE: &str = "
    INSERT INTO syncserver_devices (uid, agent, user_agent, first_seen, last_seen)
    SELECT uid, ?, ?, ?, ? FROM users WHERE uid = ?
    ON DUPLICATE KEY UPDATE
        user_agent = VALUES(user_agent),
        last_seen = GREATEST(syncserver_devices.last_seen, VALUES(last_seen))";

/// The table that is deleted from may only be read as a table of its own.
fn trim(uid: UserId) -> String {
    format!(
        "DELETE FROM syncserver_devices WHERE uid = {uid} AND agent IN (
            SELECT agent FROM (
                SELECT agent FROM syncserver_devices WHERE uid = {uid}
                ORDER BY last_seen DESC, first_seen DESC, agent LIMIT 1000000 OFFSET {MAX_DEVICES}
            ) AS oldest
        )"
    )
}

const LIST: &str = "
    SELECT user_agent, first_seen, last_seen
    FROM syncserver_devices
    WHERE uid = ?
    ORDER BY last_seen DESC, first_seen DESC, agent";

/// See [`TokenAdmin::note_device`](tokenserver_db_common::TokenAdmin::note_device).
pub(crate) async fn note(engine: &MysqlEngine, uid: UserId, agent: &Agent, now_ms: i64) -> Result<(), Fault> {
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
        .transaction("", |conn| {
            let agent = agent.clone();
            async move {
                let statement = sql(NOTE)
                    .bind::<Text, _>(agent.key().to_owned())
                    .bind::<Text, _>(agent.user_agent().to_owned())
                    .bind::<BigInt, _>(now_ms)
                    .bind::<BigInt, _>(now_ms)
                    .bind::<BigInt, _>(uid.get());
                statement.run(conn).await?;
                conn.finish_with(trim(uid));
                Ok(())
            }
            .boxed()
        })
        .await
}

/// See [`TokenAdmin::devices`](tokenserver_db_common::TokenAdmin::devices).
pub(crate) async fn list(engine: &MysqlEngine, uid: UserId) -> Result<Vec<DeviceEntry>, Fault> {
    engine.read(|conn| sql::<columns::DeviceEntry>(LIST).bind::<BigInt, _>(uid.get()).rows(conn)).await
}

/// The statement that removes those of a row of `users` that goes.
pub(crate) fn forget(uid: UserId) -> String {
    format!("DELETE FROM syncserver_devices WHERE uid = {uid}")
}
