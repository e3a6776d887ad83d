//! The users and nodes as a whole: see [`TokenSource`] and [`TokenTarget`].

use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{DbError, DbResult, Fault, Sink};
use tokenserver_db_common::{
    AccountItem, DeviceItem, NodeItem, Numbers, SERVICE, TokenItem, TokenSource, TokenTarget, UserItem, columns,
    user_columns,
};

use crate::{Conn, service};

/// The id of the service; in tables of a server that has no such table, the service is named in each row.
const FIND_SERVICE: &str = "SELECT id FROM services WHERE service = ?";

const NODES: &str = "
    SELECT id, node, available, current_load, capacity, downed, backoff
    FROM nodes WHERE service = ? ORDER BY id";

const COLUMNS: &str = "
    SELECT CAST(column_name AS CHAR) FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = ?";

/// 1 if something is there that a start of the server has not made.
const IS_FILLED: &str = "
    SELECT CAST(
        EXISTS (SELECT 1 FROM users WHERE service = ?)
        OR EXISTS (SELECT 1 FROM syncserver_accounts WHERE verdict IS NOT NULL)
        OR (SELECT count(*) FROM nodes WHERE service = ?) > 1 AS SIGNED)";

const CLEAR_USERS: &str = "DELETE FROM users WHERE service = ?";

const CLEAR_NODES: &str = "DELETE FROM nodes WHERE service = ?";

const ACCOUNTS: &str = "
    SELECT email, verdict, decided_at, refusals, refused_first, refused_last, reason
    FROM syncserver_accounts ORDER BY email";

const DEVICES: &str = "
    SELECT uid, agent, user_agent, first_seen, last_seen FROM syncserver_devices ORDER BY uid, agent";

const ADD_ACCOUNT: &str = "
    INSERT INTO syncserver_accounts (email, verdict, decided_at, refusals, refused_first, refused_last, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?)";

const ADD_DEVICE: &str = "
    INSERT INTO syncserver_devices (uid, agent, user_agent, first_seen, last_seen) VALUES (?, ?, ?, ?, ?)";

const ADD_NODE: &str = "
    INSERT INTO nodes (id, service, node, available, current_load, capacity, downed, backoff)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

const ADD_USER: &str = "
    INSERT INTO users (uid, service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// The tokenserver's tables of a MySQL or MariaDB database.
pub struct MysqlTokenArchive {
    engine: Arc<MysqlEngine>,
}

impl MysqlTokenArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS); or, to be read only, of another server's
    /// database.
    #[must_use]
    pub const fn new(engine: Arc<MysqlEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl TokenSource for MysqlTokenArchive {
    async fn dump(&self, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
        let mut conn = self.engine.snapshot().await?;
        let conn = &mut conn;
        let mut numbers = Numbers::default();
        let has_services = !columns_of(conn, "services").await?.is_empty();
        let mut service = None;
        if has_services {
            let found: Option<(i64,)> = sql::<(BigInt,)>(FIND_SERVICE).bind::<Text, _>(SERVICE).row(conn).await?;
            // Where nobody ever asked for it, there is no such service, and nothing of it.
            service = Some(found.map_or(-1, |(id,)| id));
        }
        if let Some(service) = service
            && !columns_of(conn, "nodes").await?.is_empty()
        {
            dump_nodes(conn, service, sink).await?;
            numbers.node = last_number(conn, Table::Nodes).await?;
        }
        dump_users(conn, service, sink).await?;
        // Another server's database has no such table.
        if !columns_of(conn, "syncserver_accounts").await?.is_empty() {
            dump_accounts(conn, sink).await?;
        }
        numbers.uid = last_number(conn, Table::Users).await?;
        sink.push(TokenItem::Numbers(numbers)).map_err(DbError::Output)
    }

    async fn knows_accounts(&self) -> Result<bool, Fault> {
        self.engine.has_table("syncserver_accounts").await
    }
}

async fn columns_of(conn: &mut Conn, table: &'static str) -> Result<Vec<String>, Fault> {
    let rows: Vec<(String,)> = sql::<(Text,)>(COLUMNS).bind::<Text, _>(table).rows(conn).await?;
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

#[derive(Clone, Copy)]
enum Table {
    Nodes,
    Users,
}

/// The greatest number that was given, by the table's own counter. What `information_schema` says of it may be a day old.
async fn last_number(conn: &mut Conn, table: Table) -> Result<i64, Fault> {
    let show = match table {
        Table::Nodes => "SHOW CREATE TABLE nodes",
        Table::Users => "SHOW CREATE TABLE users",
    };
    let found: Option<(String, String)> = sql::<(Text, Text)>(show).row(conn).await?;
    Ok(found.map_or(0, |(_, created)| next_number(&created) - 1))
}

/// The counter in the words of SHOW CREATE TABLE, which says nothing of one that was never used.
fn next_number(created: &str) -> i64 {
    let Some((_, after)) = created.rsplit_once(" AUTO_INCREMENT=") else { return 1 };
    after.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(1)
}

async fn dump_nodes(conn: &mut Conn, service: i64, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    sql::<columns::NodeItem>(NODES)
        .bind::<BigInt, _>(service)
        .each(conn, |node: NodeItem| sink.push(TokenItem::Node(node)).map_err(DbError::Output))
        .await
}

async fn dump_users(conn: &mut Conn, service: Option<i64>, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    let selected = user_columns(&columns_of(conn, "users").await?, service.is_some());
    let statement = sql::<columns::UserItem>(format!("SELECT {selected} FROM users WHERE service = ? ORDER BY uid"));
    let statement = match service {
        Some(id) => statement.bind::<BigInt, _>(id),
        None => statement.bind::<Text, _>(SERVICE),
    };
    statement.each(conn, |user: UserItem| sink.push(TokenItem::User(user)).map_err(DbError::Output)).await
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
impl TokenTarget for MysqlTokenArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let mut conn = self.engine.connection().await?;
        let service = service::find(&mut conn).await?;
        let filled = sql::<(BigInt,)>(IS_FILLED).bind::<BigInt, _>(service).bind::<BigInt, _>(service);
        Ok(filled.row::<_, (i64,)>(&mut conn).await? == Some((0,)))
    }

    async fn clear(&self, accounts: bool) -> Result<(), Fault> {
        self.engine
            .transaction("", move |conn| {
                async move {
                    let service = service::lock(conn.without_limit()).await?;
                    if accounts {
                        conn.batch("DELETE FROM syncserver_accounts").await?;
                    }
                    conn.batch("DELETE FROM syncserver_devices").await?;
                    sql(CLEAR_USERS).bind::<BigInt, _>(service).run(conn).await?;
                    sql(CLEAR_NODES).bind::<BigInt, _>(service).run(conn).await.map(drop)
                }
                .boxed()
            })
            .await
    }

    async fn load(&self, items: Vec<TokenItem>) -> Result<(), Fault> {
        let items = Arc::new(items);
        let rows = Arc::clone(&items);
        self.engine
            .transaction("", |conn| {
                let items = Arc::clone(&rows);
                async move { load(conn.without_limit(), &items).await }.boxed()
            })
            .await?;
        // Ends a transaction, so that it stands outside of it. It lowers nothing that a row has.
        for item in items.iter() {
            if let TokenItem::Numbers(numbers) = item {
                self.raise(numbers).await?;
            }
        }
        Ok(())
    }
}

impl MysqlTokenArchive {
    async fn raise(&self, numbers: &Numbers) -> Result<(), Fault> {
        let mut conn = self.engine.connection().await?;
        for (table, name, number) in [(Table::Users, "users", numbers.uid), (Table::Nodes, "nodes", numbers.node)] {
            if last_number(&mut conn, table).await? < number {
                let next = number.saturating_add(1);
                conn.batch(&format!("ALTER TABLE {name} AUTO_INCREMENT = {next}")).await?;
            }
        }
        Ok(())
    }
}

async fn load(conn: &mut Conn, items: &[TokenItem]) -> Result<(), Fault> {
    let service = service::lock(conn).await?;
    for item in items {
        let statement = match item {
            TokenItem::Node(_) => ADD_NODE,
            TokenItem::User(_) => ADD_USER,
            TokenItem::Account(_) => ADD_ACCOUNT,
            TokenItem::Device(_) => ADD_DEVICE,
            TokenItem::Numbers(_) => continue,
        };
        sql(statement).bind_all(item.values(service)).run(conn).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_read_from_the_words_of_the_server() {
        let created = "CREATE TABLE `users` (`uid` bigint(20) NOT NULL AUTO_INCREMENT) ENGINE=InnoDB";
        assert_eq!(next_number(created), 1);
        assert_eq!(next_number(&format!("{created} AUTO_INCREMENT=5004 DEFAULT CHARSET=latin1")), 5004);
        assert_eq!(next_number(&format!("{created} AUTO_INCREMENT=7")), 7);
    }
}
