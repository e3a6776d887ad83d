//! The table `nodes`.

use diesel::sql_types::{BigInt, Integer, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::{NodeChange, NodeChanged, NodeName, NodeRow, SERVICE, columns};

use crate::service::{Conn, has_nul};
use crate::sign_in::{PLACES_LOCK, column};

/// The flags are integers of any size in principle.
const LOAD: &str = "
    SELECT
        nodes.id, nodes.node, CAST(nodes.available AS bigint), CAST(nodes.current_load AS bigint),
        CAST(nodes.capacity AS bigint), nodes.downed <> 0, nodes.backoff <> 0
    FROM nodes JOIN services ON services.id = nodes.service
    WHERE services.service = $1
    ORDER BY nodes.id";

const INIT: &str = "
    INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
    SELECT id, $2, $3, 0, $3, 0, 0 FROM services WHERE service = $1
    ON CONFLICT (service, node) DO NOTHING";

const CHANGE: &str = "
    UPDATE nodes SET node = $1, available = $2, capacity = $3, downed = $4, backoff = $5 WHERE id = $6";

/// All nodes of the service.
pub(crate) async fn load(conn: &mut Conn) -> Result<Vec<NodeRow>, Fault> {
    sql::<columns::NodeRow>(LOAD).bind::<Text, _>(SERVICE).rows(conn).await
}

/// See [`TokenDb::nodes`](tokenserver_db_common::TokenDb::nodes).
pub(crate) async fn all(engine: &PostgresEngine) -> Result<Vec<NodeRow>, Fault> {
    engine.read(|conn| load(conn).boxed()).await
}

/// See [`TokenDb::init_node`](tokenserver_db_common::TokenDb::init_node).
pub(crate) async fn init(engine: &PostgresEngine, url: &str, capacity: u32) -> Result<bool, Fault> {
    if has_nul(url) {
        return Err(Fault::internal("the URL of a node holds U+0000"));
    }
    let capacity = i32::try_from(capacity).map_err(Fault::internal)?;
    let url = url.to_owned();
    let added = engine
        .write(|conn| {
            let statement =
                sql::<()>(INIT).bind::<Text, _>(SERVICE).bind::<Text, _>(url.clone()).bind::<Integer, _>(capacity);
            statement.run(conn)
        })
        .await?;
    Ok(added > 0)
}

/// See [`TokenAdmin::set_node`](tokenserver_db_common::TokenAdmin::set_node).
pub(crate) async fn set(engine: &PostgresEngine, name: &NodeName, change: &NodeChange) -> Result<NodeChanged, Fault> {
    if change.url.as_deref().is_some_and(has_nul) {
        return Err(Fault::internal("the URL of a node holds U+0000"));
    }
    engine
        .transaction(PLACES_LOCK, |conn| {
            let (name, change) = (name.clone(), change.clone());
            async move {
                let node = match change.apply(&load(conn).await?, &name) {
                    Ok(node) => node,
                    Err(refused) => return Ok(refused),
                };
                let statement = sql::<()>(CHANGE)
                    .bind::<Text, _>(node.url)
                    .bind::<Integer, _>(column(node.available)?)
                    .bind::<Integer, _>(column(node.capacity)?)
                    .bind::<Integer, _>(i32::from(node.downed))
                    .bind::<Integer, _>(i32::from(node.backoff))
                    .bind::<BigInt, _>(node.id);
                statement.run(conn).await?;
                Ok(NodeChanged::Done)
            }
            .boxed()
        })
        .await
}
