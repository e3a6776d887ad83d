//! The users and nodes as a whole: see [`TokenSource`] and [`TokenTarget`].

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Integer, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{DbError, DbResult, Fault, Sink};
use tokenserver_db_common::{
    AccountItem, DeviceItem, NodeItem, Numbers, TokenItem, TokenSource, TokenTarget, UserItem, columns,
};

use crate::service::{self, Conn};

const NODES: &str = "
    SELECT
        id, node, CAST(available AS bigint), CAST(current_load AS bigint), CAST(capacity AS bigint),
        CAST(downed AS bigint), CAST(backoff AS bigint)
    FROM nodes WHERE service = $1 ORDER BY id";

const USERS: &str = "
    SELECT uid, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at
    FROM users WHERE service = $1 ORDER BY uid";

/// What the sequences of both tables have given, or what stands in the rows: some were perhaps inserted by hand.
const NUMBERS: &str = "
    SELECT
        coalesce(greatest(
            pg_sequence_last_value(CAST(pg_get_serial_sequence('users', 'uid') AS regclass)),
            (SELECT max(uid) FROM users)
        ), 0),
        coalesce(greatest(
            pg_sequence_last_value(CAST(pg_get_serial_sequence('nodes', 'id') AS regclass)),
            (SELECT max(id) FROM nodes)
        ), 0)";

/// 1 if something is there that a start of the server has not made.
const IS_FILLED: &str = "
    SELECT CAST(CASE WHEN
        EXISTS (SELECT 1 FROM users WHERE service = $1)
        OR EXISTS (SELECT 1 FROM syncserver_accounts WHERE verdict IS NOT NULL)
        OR (SELECT count(*) FROM nodes WHERE service = $1) > 1 THEN 1 ELSE 0 END AS bigint)";

const CLEAR_USERS: &str = "DELETE FROM users WHERE service = $1";

const CLEAR_NODES: &str = "DELETE FROM nodes WHERE service = $1";

/// Another server's database has no such table.
const FIND_ACCOUNTS: &str = "SELECT 'found'::text WHERE to_regclass('syncserver_accounts') IS NOT NULL";

const ACCOUNTS: &str = "
    SELECT email, verdict, decided_at, refusals, refused_first, refused_last, reason
    FROM syncserver_accounts ORDER BY email";

const DEVICES: &str = "
    SELECT uid, agent, user_agent, first_seen, last_seen FROM syncserver_devices ORDER BY uid, agent";

const ADD_ACCOUNT: &str = "
    INSERT INTO syncserver_accounts (email, verdict, decided_at, refusals, refused_first, refused_last, reason)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const ADD_DEVICE: &str = "
    INSERT INTO syncserver_devices (uid, agent, user_agent, first_seen, last_seen) VALUES ($1, $2, $3, $4, $5)";

const ADD_NODE: &str = "
    INSERT INTO nodes (id, service, node, available, current_load, capacity, downed, backoff)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const ADD_USER: &str = "
    INSERT INTO users (uid, service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A sequence knows nothing before 1.
const RAISE_USERS: &str = "
    SELECT setval(sequence, greatest($1, pg_sequence_last_value(sequence)))
    FROM CAST(pg_get_serial_sequence('users', 'uid') AS regclass) AS sequence
    WHERE sequence IS NOT NULL AND $1 > 0";

const RAISE_NODES: &str = "
    SELECT setval(sequence, greatest($1, pg_sequence_last_value(sequence)))
    FROM CAST(pg_get_serial_sequence('nodes', 'id') AS regclass) AS sequence
    WHERE sequence IS NOT NULL AND $1 > 0";

/// The tokenserver's tables of a Postgres database.
pub struct PostgresTokenArchive {
    engine: Arc<PostgresEngine>,
}

impl PostgresTokenArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS); or, to be read only, of another server's
    /// database.
    #[must_use]
    pub const fn new(engine: Arc<PostgresEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl TokenSource for PostgresTokenArchive {
    async fn dump(&self, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
        let mut conn = self.engine.snapshot().await?;
        let service = service::load(&mut conn).await?;
        dump_nodes(&mut conn, service, sink).await?;
        dump_users(&mut conn, service, sink).await?;
        let ours: Option<(String,)> = sql::<(Text,)>(FIND_ACCOUNTS).row(&mut conn).await?;
        if ours.is_some() {
            dump_accounts(&mut conn, sink).await?;
        }
        let found: Option<(i64, i64)> = sql::<(BigInt, BigInt)>(NUMBERS).row(&mut conn).await?;
        let (uid, node) = found.unwrap_or_default();
        sink.push(TokenItem::Numbers(Numbers { uid, node })).map_err(DbError::Output)
    }

    async fn knows_accounts(&self) -> Result<bool, Fault> {
        self.engine.has_table("syncserver_accounts").await
    }
}

async fn dump_nodes(conn: &mut Conn, service: i32, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    sql::<columns::NodeItem>(NODES)
        .bind::<Integer, _>(service)
        .each(conn, |node: NodeItem| sink.push(TokenItem::Node(node)).map_err(DbError::Output))
        .await
}

async fn dump_users(conn: &mut Conn, service: i32, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    sql::<columns::UserItem>(USERS)
        .bind::<Integer, _>(service)
        .each(conn, |user: UserItem| sink.push(TokenItem::User(user)).map_err(DbError::Output))
        .await
}

async fn dump_accounts(conn: &mut Conn, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    sql::<columns::AccountItem>(ACCOUNTS)
        .each(conn, |account: AccountItem| sink.push(TokenItem::Account(account)).map_err(DbError::Output))
        .await?;
    sql::<columns::DeviceItem>(DEVICES)
        .each(conn, |device: DeviceItem| sink.push(TokenItem::Device(device)).map_err(DbError::Output))
        .await
}

#[async_trait]
impl TokenTarget for PostgresTokenArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let mut conn = self.engine.connection().await?;
        let service = service::load(&mut conn).await?;
        let filled = sql::<(BigInt,)>(IS_FILLED).bind::<Integer, _>(service);
        Ok(filled.row::<_, (i64,)>(&mut conn).await? == Some((0,)))
    }

    async fn clear(&self, accounts: bool) -> Result<(), Fault> {
        self.engine
            .transaction("", move |conn| {
                async move {
                    let service = service::load(conn.without_limit()).await?;
                    if accounts {
                        conn.batch("DELETE FROM syncserver_accounts").await?;
                    }
                    conn.batch("DELETE FROM syncserver_devices").await?;
                    sql(CLEAR_USERS).bind::<Integer, _>(service).run(conn).await?;
                    sql(CLEAR_NODES).bind::<Integer, _>(service).run(conn).await.map(drop)
                }
                .boxed()
            })
            .await
    }

    async fn load(&self, items: Vec<TokenItem>) -> Result<(), Fault> {
        let items = Arc::new(items);
        self.engine
            .transaction("", |conn| {
                let items = Arc::clone(&items);
                async move { load(conn.without_limit(), &items).await }.boxed()
            })
            .await
    }
}

async fn load(conn: &mut Conn, items: &[TokenItem]) -> Result<(), Fault> {
    let service = service::load(conn).await?;
    for item in items {
        let statement = match item {
            TokenItem::Node(_) => ADD_NODE,
            TokenItem::User(_) => ADD_USER,
            TokenItem::Account(_) => ADD_ACCOUNT,
            TokenItem::Device(_) => ADD_DEVICE,
            TokenItem::Numbers(numbers) => {
                raise(conn, numbers).await?;
                continue;
            }
        };
        sql(statement).bind_all(item.values(service.into())).run(conn).await?;
    }
    Ok(())
}

async fn raise(conn: &mut Conn, numbers: &Numbers) -> Result<(), Fault> {
    let _: Option<(i64,)> = sql::<(BigInt,)>(RAISE_USERS).bind::<BigInt, _>(numbers.uid).row(conn).await?;
    let _: Option<(i64,)> = sql::<(BigInt,)>(RAISE_NODES).bind::<BigInt, _>(numbers.node).row(conn).await?;
    Ok(())
}
