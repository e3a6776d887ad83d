//! The table `nodes`.

use diesel::sql_types::{BigInt, Bool, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::Fault;
use tokenserver_db_common::NodeRow;

use crate::service;

/// The flags are integers of any size in principle.
const LOAD: &str = "
    SELECT id, node, available, current_load, capacity, downed <> 0, backoff <> 0
    FROM nodes
    WHERE service = ?
    ORDER BY id";

const INIT: &str = "
    INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
    VALUES (?, ?, ?, 0, ?, 0, 0)
    ON CONFLICT (service, node) DO NOTHING";

/// All nodes of the service.
pub(crate) fn load(conn: &mut SqliteConnection, service: i64) -> Result<Vec<NodeRow>, Fault> {
    type Columns = (BigInt, Text, BigInt, BigInt, BigInt, Bool, Bool);
    type Row = (i64, String, i64, i64, i64, bool, bool);
    let rows = sql::<Columns>(LOAD).bind(service).rows::<Row>(conn)?;
    let node = |(id, url, available, current_load, capacity, downed, backoff)| NodeRow {
        id,
        url,
        available,
        current_load,
        capacity,
        downed,
        backoff,
    };
    Ok(rows.into_iter().map(node).collect())
}

/// See [`TokenDb::init_node`](tokenserver_db_common::TokenDb::init_node).
pub(crate) async fn init(engine: &SqliteEngine, url: &str, capacity: u32) -> Result<bool, Fault> {
    let (url, capacity) = (url.to_owned(), i64::from(capacity));
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let added = sql(INIT).bind(service).bind(url.as_str()).bind(capacity).bind(capacity).run(conn)?;
            Ok(added > 0)
        })
        .await
}
