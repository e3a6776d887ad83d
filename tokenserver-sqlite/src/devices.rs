//! The table `syncserver_devices`.

use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{Agent, DEVICE_INTERVAL_MS, DeviceEntry, MAX_DEVICES, columns};

const LAST_SEEN: &str = "SELECT last_seen FROM syncserver_devices WHERE uid = ? AND agent = ?";

/// Only for a row of `users`, which may be gone by now.
const NOTE: &str = "
    INSERT INTO syncserver_devices (uid, agent, user_agent, first_seen, last_seen)
    SELECT uid, ?, ?, ?, ? FROM users WHERE uid = ?
    ON CONFLICT (uid, agent) DO UPDATE SET
        user_agent = excluded.user_agent,
        last_seen = max(last_seen, excluded.last_seen)";

const TRIM: &str = "
    DELETE FROM syncserver_devices
    WHERE uid = ? AND agent NOT IN (
        SELECT agent FROM syncserver_devices WHERE uid = ? ORDER BY last_seen DESC, first_seen DESC, agent LIMIT ?
    )";

const LIST: &str = "
    SELECT user_agent, first_seen, last_seen
    FROM syncserver_devices
    WHERE uid = ?
    ORDER BY last_seen DESC, first_seen DESC, agent";

const FORGET: &str = "DELETE FROM syncserver_devices WHERE uid = ?";

/// See [`TokenAdmin::note_device`](tokenserver_db_common::TokenAdmin::note_device).
pub(crate) async fn note(engine: &SqliteEngine, uid: UserId, agent: &Agent, now_ms: i64) -> Result<(), Fault> {
    {
        let mut conn = engine.reader().await?;
        let row = sql::<(BigInt,)>(LAST_SEEN).bind(uid.get()).bind(agent.key()).row::<(i64,)>(&mut conn)?;
        if row.is_some_and(|(last_seen,)| last_seen > now_ms.saturating_sub(DEVICE_INTERVAL_MS)) {
            return Ok(());
        }
    }
    let agent = agent.clone();
    engine
        .write(move |conn| {
            sql(NOTE).bind(agent.key()).bind(agent.user_agent()).bind(now_ms).bind(now_ms).bind(uid.get()).run(conn)?;
            sql(TRIM).bind(uid.get()).bind(uid.get()).bind(i64::from(MAX_DEVICES)).run(conn)?;
            Ok(())
        })
        .await
}

/// See [`TokenAdmin::devices`](tokenserver_db_common::TokenAdmin::devices).
pub(crate) fn list(conn: &mut SqliteConnection, uid: UserId) -> Result<Vec<DeviceEntry>, Fault> {
    sql::<columns::DeviceEntry>(LIST).bind(uid.get()).rows(conn)
}

/// Those of a row of `users` that goes.
pub(crate) fn forget(conn: &mut SqliteConnection, uid: UserId) -> Result<(), Fault> {
    sql(FORGET).bind(uid.get()).run(conn).map(drop)
}
