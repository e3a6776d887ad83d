//! Runs statements, as futures in a box.
//!
//! The futures of [`Sql`] borrow the values of the statement, and inside of another future the compiler cannot see any
//! more that they may be sent between threads. Boxed where they are made, they say so themselves.

use diesel::mysql::Mysql;
use diesel_async::AsyncMysqlConnection;
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use network_engine::Sql;
use syncstorage_db_common::{DbResult, Fault};

use crate::transaction::Conn;

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

/// Hands over the rows one by one, until there are no more or `take` fails.
pub(crate) fn each<'r, 'a: 'r, Row: 'a, T>(
    statement: Sql<'a, Mysql, Row>,
    conn: &'r mut Conn,
    take: impl FnMut(T) -> DbResult<()> + Send + 'r,
) -> BoxFuture<'r, DbResult<()>>
where
    T: Send + 'r,
    Sql<'a, Mysql, Row>: LoadQuery<'a, AsyncMysqlConnection, T>,
{
    statement.each(conn, take).boxed()
}

/// The number of rows that the statement changed.
pub(crate) fn run<'r, 'a: 'r>(statement: Sql<'a, Mysql>, conn: &'r mut Conn) -> BoxFuture<'r, Result<usize, Fault>>
where
    Sql<'a, Mysql>: ExecuteDsl<AsyncMysqlConnection>,
{
    statement.run(conn).boxed()
}
