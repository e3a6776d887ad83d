//! The users and nodes as a whole: see [`TokenSource`] and [`TokenTarget`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Nullable};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, columns as table_columns, open_to_read, snapshot, sql};
use syncstorage_db_common::{DbError, DbResult, Fault, Sink};
use tokenserver_db_common::{
    AccountItem, DeviceItem, NodeItem, Numbers, SERVICE, TokenItem, TokenSource, TokenTarget, UserItem, columns,
    user_columns,
};

use crate::service;

const NODES: &str = "
    SELECT id, node, available, current_load, capacity, downed, backoff
    FROM nodes WHERE service = ? ORDER BY id";

/// What the file remembers of a table with AUTOINCREMENT.
const SEQUENCE: &str = "SELECT seq FROM sqlite_sequence WHERE name = ?";

const RAISE: &str = "UPDATE sqlite_sequence SET seq = ? WHERE name = ? AND seq < ?";

/// The file has a row only for tables that had one.
const BEGIN_SEQUENCE: &str = "
    INSERT INTO sqlite_sequence (name, seq)
    SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)";

/// 1 if something is there that a start of the server has not made.
const IS_FILLED: &str = "
    SELECT EXISTS (SELECT 1 FROM users WHERE service = ?)
        OR EXISTS (SELECT 1 FROM syncserver_accounts WHERE verdict IS NOT NULL)
        OR (SELECT count(*) FROM nodes WHERE service = ?) > 1";

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

/// A file that is only read, whether a server runs on it or not: one of ours, or one of the old server in Python.
pub struct SqliteTokenSource {
    path: PathBuf,
}

impl SqliteTokenSource {
    /// The file, if it has a table of users.
    pub fn find(path: &Path) -> Result<Option<Self>, Fault> {
        let has_users = table_columns(&mut open_to_read(path)?, "users")?.iter().any(|name| name == "client_state");
        Ok(has_users.then(|| Self { path: path.to_owned() }))
    }
}

#[async_trait]
impl TokenSource for SqliteTokenSource {
    async fn dump(&self, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
        dump(&self.path, sink)
    }

    async fn knows_accounts(&self) -> Result<bool, Fault> {
        Ok(!table_columns(&mut open_to_read(&self.path)?, "syncserver_accounts")?.is_empty())
    }
}

/// The tokenserver's tables of a file that was opened with [`MIGRATIONS`](crate::MIGRATIONS).
pub struct SqliteTokenArchive {
    engine: Arc<SqliteEngine>,
}

impl SqliteTokenArchive {
    /// Of an engine that was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    #[must_use]
    pub const fn new(engine: Arc<SqliteEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl TokenSource for SqliteTokenArchive {
    async fn dump(&self, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
        dump(self.engine.path(), sink)
    }

    async fn knows_accounts(&self) -> Result<bool, Fault> {
        Ok(true)
    }
}

#[async_trait]
impl TokenTarget for SqliteTokenArchive {
    async fn is_empty(&self) -> Result<bool, Fault> {
        let mut conn = self.engine.reader().await?;
        let service = service::load(&mut conn)?.id;
        let filled: Option<(i64,)> = sql::<(BigInt,)>(IS_FILLED).bind(service).bind(service).row(&mut conn)?;
        Ok(filled == Some((0,)))
    }

    async fn clear(&self, accounts: bool) -> Result<(), Fault> {
        let clear = move |conn: &mut SqliteConnection| {
            let service = service::load(conn)?.id;
            if accounts {
                sql("DELETE FROM syncserver_accounts").run(conn)?;
            }
            sql("DELETE FROM syncserver_devices").run(conn)?;
            sql("DELETE FROM users WHERE service = ?").bind(service).run(conn)?;
            sql("DELETE FROM nodes WHERE service = ?").bind(service).run(conn).map(drop)
        };
        self.engine.write(clear).await
    }

    async fn load(&self, items: Vec<TokenItem>) -> Result<(), Fault> {
        self.engine.write(move |conn| load(conn, &items)).await
    }
}

fn dump(path: &Path, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    snapshot(&mut open_to_read(path)?, |conn| {
        let has_services = !table_columns(conn, "services")?.is_empty();
        let mut numbers = Numbers { uid: sequence(conn, "users")?, node: sequence(conn, "nodes")? };
        if numbers.uid == 0 && table_columns(conn, "user_collections")?.iter().any(|name| name == "userid") {
            // Not one of ours: such a table forgets the numbers of rows that are gone, and storage may be left of them.
            let greatest = sql::<(Nullable<BigInt>,)>("SELECT max(userid) FROM user_collections").row(conn)?;
            numbers.uid = greatest.and_then(|(uid,): (Option<i64>,)| uid).unwrap_or(0);
        }
        // The simplest servers know one node, which is no row, and name the service in each user's row.
        if has_services && !table_columns(conn, "nodes")?.is_empty() {
            dump_nodes(conn, &mut numbers, sink)?;
        }
        dump_users(conn, has_services, &mut numbers, sink)?;
        if !table_columns(conn, "syncserver_accounts")?.is_empty() {
            dump_accounts(conn, sink)?;
        }
        sink.push(TokenItem::Numbers(numbers)).map_err(DbError::Output)
    })
}

fn sequence(conn: &mut SqliteConnection, table: &str) -> Result<i64, Fault> {
    if table_columns(conn, "sqlite_sequence")?.is_empty() {
        return Ok(0);
    }
    Ok(sql::<(BigInt,)>(SEQUENCE).bind(table).row(conn)?.map_or(0, |(number,)| number))
}

fn dump_nodes(conn: &mut SqliteConnection, numbers: &mut Numbers, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    let service = service::id(conn)?;
    sql::<columns::NodeItem>(NODES).bind(service).each(conn, |node: NodeItem| {
        numbers.node = numbers.node.max(node.id);
        sink.push(TokenItem::Node(node)).map_err(DbError::Output)
    })
}

fn dump_users(
    conn: &mut SqliteConnection,
    has_services: bool,
    numbers: &mut Numbers,
    sink: &mut dyn Sink<TokenItem>,
) -> DbResult<()> {
    let selected = user_columns(&table_columns(conn, "users")?, has_services);
    let statement = sql::<columns::UserItem>(format!("SELECT {selected} FROM users WHERE service = ? ORDER BY uid"));
    let statement = match has_services {
        true => statement.bind(service::id(conn)?),
        false => statement.bind(SERVICE),
    };
    statement.each(conn, |user: UserItem| {
        numbers.uid = numbers.uid.max(user.uid);
        sink.push(TokenItem::User(user)).map_err(DbError::Output)
    })
}

fn dump_accounts(conn: &mut SqliteConnection, sink: &mut dyn Sink<TokenItem>) -> DbResult<()> {
    sql::<columns::AccountItem>(ACCOUNTS)
        .each(conn, |account: AccountItem| sink.push(TokenItem::Account(account)).map_err(DbError::Output))?;
    sql::<columns::DeviceItem>(DEVICES)
        .each(conn, |device: DeviceItem| sink.push(TokenItem::Device(device)).map_err(DbError::Output))
}

fn load(conn: &mut SqliteConnection, items: &[TokenItem]) -> Result<(), Fault> {
    let service = service::load(conn)?.id;
    for item in items {
        let statement = match item {
            TokenItem::Node(_) => ADD_NODE,
            TokenItem::User(_) => ADD_USER,
            TokenItem::Account(_) => ADD_ACCOUNT,
            TokenItem::Device(_) => ADD_DEVICE,
            TokenItem::Numbers(numbers) => {
                raise(conn, numbers)?;
                continue;
            }
        };
        sql(statement).bind_all(item.values(service)).run(conn)?;
    }
    Ok(())
}

fn raise(conn: &mut SqliteConnection, numbers: &Numbers) -> Result<(), Fault> {
    for (table, number) in [("users", numbers.uid), ("nodes", numbers.node)] {
        sql(BEGIN_SEQUENCE).bind(table).bind(table).run(conn)?;
        sql(RAISE).bind(number).bind(table).bind(number).run(conn)?;
    }
    Ok(())
}
