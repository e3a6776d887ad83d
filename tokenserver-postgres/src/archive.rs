//! The users and nodes as a whole: see [`TokenSource`] and [`TokenTarget`].

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{DbError, DbResult, Fault, Sink};
use tokenserver_db_common::{
    AccountItem, DeviceItem, NodeItem, Numbers, TokenItem, TokenSource, TokenTarget, UserItem,
};

use crate::service::{self, Conn};

const NODES: &str = "
    SELECT id, node, available, current_load, capacity, downed, backoff
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
            dump_devices(&mut conn, sink).await?;
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
    type Columns = (BigInt, Text, Integer, Integer, Integer, Integer, Integer);
    type Row = (i64, String, i32, i32, i32, i32, i32);
    sql::<Columns>(NODES)
        .bind::<Integer, _>(service)
        .each(conn, |(id, url, available, current_load, capacity, downed, backoff): Row| {
            let node = NodeItem {
                id,
                url,
                available: available.into(),
                current_load: current_load.into(),
                capacity: capacity.into(),
                downed: downed.into(),
                backoff: backoff.into(),
            };
            sink.push(TokenItem::Node(node)).map_err(DbError::Output)
        })
        .await
}

async fn dump_users(conn: &mut Conn, service: i32, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    type Columns = (BigInt, Text, BigInt, Text, BigInt, Nullable<BigInt>, BigInt, Nullable<BigInt>);
    type Row = (i64, String, i64, String, i64, Option<i64>, i64, Option<i64>);
    sql::<Columns>(USERS)
        .bind::<Integer, _>(service)
        .each(conn, |row: Row| {
            let (uid, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at) = row;
            let user =
                UserItem { uid, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at };
            sink.push(TokenItem::User(user)).map_err(DbError::Output)
        })
        .await
}

async fn dump_accounts(conn: &mut Conn, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    type Columns = (Text, Nullable<Text>, Nullable<BigInt>, BigInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<Text>);
    type Row = (String, Option<String>, Option<i64>, i64, Option<i64>, Option<i64>, Option<String>);
    sql::<Columns>(ACCOUNTS)
        .each(conn, |row: Row| {
            let (email, verdict, decided_at, refusals, refused_first, refused_last, reason) = row;
            let account = AccountItem { email, verdict, decided_at, refusals, refused_first, refused_last, reason };
            sink.push(TokenItem::Account(account)).map_err(DbError::Output)
        })
        .await
}

async fn dump_devices(conn: &mut Conn, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    type Row = (i64, String, String, i64, i64);
    sql::<(BigInt, Text, Text, BigInt, BigInt)>(DEVICES)
        .each(conn, |(uid, agent, user_agent, first_seen, last_seen): Row| {
            let device = DeviceItem { uid, agent, user_agent, first_seen, last_seen };
            sink.push(TokenItem::Device(device)).map_err(DbError::Output)
        })
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
                    let service = service::load(conn).await?;
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
                async move { load(conn, &items).await }.boxed()
            })
            .await
    }
}

async fn load(conn: &mut Conn, items: &[TokenItem]) -> Result<(), Fault> {
    let service = service::load(conn).await?;
    for item in items {
        match item {
            TokenItem::Node(node) => add_node(conn, service, node).await?,
            TokenItem::User(user) => add_user(conn, service, user).await?,
            TokenItem::Account(account) => add_account(conn, account).await?,
            TokenItem::Device(device) => add_device(conn, device).await?,
            TokenItem::Numbers(numbers) => {
                let _: Option<(i64,)> = sql::<(BigInt,)>(RAISE_USERS).bind::<BigInt, _>(numbers.uid).row(conn).await?;
                let _: Option<(i64,)> = sql::<(BigInt,)>(RAISE_NODES).bind::<BigInt, _>(numbers.node).row(conn).await?;
            }
        }
    }
    Ok(())
}

async fn add_node(conn: &mut Conn, service: i32, node: &NodeItem) -> Result<(), Fault> {
    let number = |number: i64| i32::try_from(number).map_err(Fault::internal);
    sql(ADD_NODE)
        .bind::<BigInt, _>(node.id)
        .bind::<Integer, _>(service)
        .bind::<Text, _>(node.url.as_str())
        .bind::<Integer, _>(number(node.available)?)
        .bind::<Integer, _>(number(node.current_load)?)
        .bind::<Integer, _>(number(node.capacity)?)
        .bind::<Integer, _>(number(node.downed)?)
        .bind::<Integer, _>(number(node.backoff)?)
        .run(conn)
        .await
        .map(drop)
}

async fn add_user(conn: &mut Conn, service: i32, user: &UserItem) -> Result<(), Fault> {
    sql(ADD_USER)
        .bind::<BigInt, _>(user.uid)
        .bind::<Integer, _>(service)
        .bind::<Text, _>(user.email.as_str())
        .bind::<BigInt, _>(user.generation)
        .bind::<Text, _>(user.client_state.as_str())
        .bind::<BigInt, _>(user.created_at)
        .bind::<Nullable<BigInt>, _>(user.replaced_at)
        .bind::<BigInt, _>(user.nodeid)
        .bind::<Nullable<BigInt>, _>(user.keys_changed_at)
        .run(conn)
        .await
        .map(drop)
}

async fn add_account(conn: &mut Conn, account: &AccountItem) -> Result<(), Fault> {
    sql(ADD_ACCOUNT)
        .bind::<Text, _>(account.email.as_str())
        .bind::<Nullable<Text>, _>(account.verdict.as_deref())
        .bind::<Nullable<BigInt>, _>(account.decided_at)
        .bind::<BigInt, _>(account.refusals)
        .bind::<Nullable<BigInt>, _>(account.refused_first)
        .bind::<Nullable<BigInt>, _>(account.refused_last)
        .bind::<Nullable<Text>, _>(account.reason.as_deref())
        .run(conn)
        .await
        .map(drop)
}

async fn add_device(conn: &mut Conn, device: &DeviceItem) -> Result<(), Fault> {
    sql(ADD_DEVICE)
        .bind::<BigInt, _>(device.uid)
        .bind::<Text, _>(device.agent.as_str())
        .bind::<Text, _>(device.user_agent.as_str())
        .bind::<BigInt, _>(device.first_seen)
        .bind::<BigInt, _>(device.last_seen)
        .run(conn)
        .await
        .map(drop)
}
