//! Runs statements, as futures in a box.
//!
//! The futures of [`Sql`] borrow the values of the statement, and inside of another future the compiler cannot see any
//! more that they may be sent between threads. Boxed where they are made, they say so themselves.

use diesel::mysql::Mysql;
use diesel_async::AsyncMysqlConnection;
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use network_engine::{Connection, Sql};
use syncstorage_db_common::Fault;

/// A connection of the engine.
pub(crate) type Conn = Connection<AsyncMysqlConnection>;

/// All rows.
pub(crate) fn rows<'r, 'a: 'r, Row: 'a, T>(
    statement: Sql<'a, Mysql, Row>,
    conn: &'r mut Conn,
) -> BoxFuture<'r, Result<Vec<T>, Fault>>
where
    T: Send + 'r,
    Sql<'a, Mysql, Row>: LoadQuery<'a, AsyncMysqlConnection, T>,
{
    statement.rows(conn).boxed()
}

/// The first row, if there is one.
pub(crate) fn row<'r, 'a: 'r, Row: 'a, T>(
    statement: Sql<'a, Mysql, Row>,
    conn: &'r mut Conn,
) -> BoxFuture<'r, Result<Option<T>, Fault>>
where
    T: Send + 'r,
    Sql<'a, Mysql, Row>: LoadQuery<'a, AsyncMysqlConnection, T>,
{
    statement.row(conn).boxed()
}

/// The number of rows that the statement changed.
pub(crate) fn run<'r, 'a: 'r>(statement: Sql<'a, Mysql>, conn: &'r mut Conn) -> BoxFuture<'r, Result<usize, Fault>>
where
    Sql<'a, Mysql>: ExecuteDsl<AsyncMysqlConnection>,
{
    statement.run(conn).boxed()
}
