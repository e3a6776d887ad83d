//! The table `nodes`.

use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt;
use network_engine::mysql::sql;
use network_engine::{MysqlEngine, Sql};
use syncstorage_db_common::Fault;
use tokenserver_db_common::{NodeChange, NodeChanged, NodeName, NodeRow, columns};

use crate::Conn;
use crate::service;

/// The flags are integers of any size in principle.
fn load() -> Sql<'static, diesel::mysql::Mysql, columns::NodeRow> {
    sql(format!(
        "SELECT id, node, available, current_load, capacity, downed <> 0, backoff <> 0 \
         FROM nodes WHERE service = {} ORDER BY id",
        service::ID
    ))
}

/// See [`TokenDb::nodes`](tokenserver_db_common::TokenDb::nodes).
pub(crate) async fn all(engine: &MysqlEngine) -> Result<Vec<NodeRow>, Fault> {
    engine.read(|conn| load().rows(conn)).await
}

/// All nodes of the service, within a transaction that has the service's lock: nobody else changes them.
pub(crate) async fn locked(conn: &mut Conn) -> Result<Vec<NodeRow>, Fault> {
    load().rows(conn).await
}

const FIND: &str = "SELECT id FROM nodes WHERE service = ? AND node = ?";

const INIT: &str = "
    INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
    VALUES (?, ?, ?, 0, ?, 0, 0)";

/// See [`TokenDb::init_node`](tokenserver_db_common::TokenDb::init_node).
pub(crate) async fn init(engine: &MysqlEngine, url: &str, capacity: u32) -> Result<bool, Fault> {
    let capacity = i64::from(capacity);
    engine
        .transaction("", |conn| {
            let url = url.to_owned();
            async move {
                let service = service::lock(conn).await?;
                let find = sql::<(BigInt,)>(FIND).bind::<BigInt, _>(service).bind::<Text, _>(url.clone());
                let found: Option<(i64,)> = find.row(conn).await?;
                if found.is_some() {
                    return Ok(false);
                }
                let init = sql(INIT)
                    .bind::<BigInt, _>(service)
                    .bind::<Text, _>(url)
                    .bind::<BigInt, _>(capacity)
                    .bind::<BigInt, _>(capacity);
                init.run(conn).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
}

const CHANGE: &str = "UPDATE nodes SET node = ?, available = ?, capacity = ?, downed = ?, backoff = ? WHERE id = ?";

/// See [`TokenAdmin::set_node`](tokenserver_db_common::TokenAdmin::set_node).
pub(crate) async fn set(engine: &MysqlEngine, name: &NodeName, change: &NodeChange) -> Result<NodeChanged, Fault> {
    engine
        .transaction("", |conn| {
            let (name, change) = (name.clone(), change.clone());
            async move {
                service::lock(conn).await?;
                let node = match change.apply(&locked(conn).await?, &name) {
                    Ok(node) => node,
                    Err(refused) => return Ok(refused),
                };
                let statement = sql(CHANGE)
                    .bind::<Text, _>(node.url)
                    .bind::<BigInt, _>(node.available)
                    .bind::<BigInt, _>(node.capacity)
                    .bind::<BigInt, _>(i64::from(node.downed))
                    .bind::<BigInt, _>(i64::from(node.backoff))
                    .bind::<BigInt, _>(node.id);
                statement.run(conn).await?;
                Ok(NodeChanged::Done)
            }
            .boxed()
        })
        .await
}
