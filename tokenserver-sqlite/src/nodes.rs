//! The table `nodes`.

use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::Fault;
use tokenserver_db_common::{NodeChange, NodeChanged, NodeName, NodeRow, columns};

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

const CHANGE: &str = "
    UPDATE nodes SET node = ?, available = ?, capacity = ?, downed = ?, backoff = ? WHERE id = ?";

/// All nodes of the service.
pub(crate) fn load(conn: &mut SqliteConnection, service: i64) -> Result<Vec<NodeRow>, Fault> {
    sql::<columns::NodeRow>(LOAD).bind(service).rows(conn)
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

/// See [`TokenAdmin::set_node`](tokenserver_db_common::TokenAdmin::set_node).
pub(crate) async fn set(engine: &SqliteEngine, name: &NodeName, change: &NodeChange) -> Result<NodeChanged, Fault> {
    let (name, change) = (name.clone(), change.clone());
    engine
        .write(move |conn| {
            let service = service::load(conn)?.id;
            let node = match change.apply(&load(conn, service)?, &name) {
                Ok(node) => node,
                Err(refused) => return Ok(refused),
            };
            sql(CHANGE)
                .bind(node.url.as_str())
                .bind(node.available)
                .bind(node.capacity)
                .bind(i64::from(node.downed))
                .bind(i64::from(node.backoff))
                .bind(node.id)
                .run(conn)?;
            Ok(NodeChanged::Done)
        })
        .await
}
