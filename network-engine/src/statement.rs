//! A statement in SQL whose prepared form each connection keeps.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use diesel_async::RunQueryDsl;
use diesel_async::methods::{ExecuteDsl, LoadQuery};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use syncstorage_db_common::{Bind, Fault};
use tokio::time::timeout;

use crate::connection::Connection;
use crate::driver::Driver;

/// A statement with its values; `Row` is the SQL type of its rows, a tuple.
///
/// Diesel's `sql_query` prepares its statement anew at each use, which is a round trip more. This one says that it may be
/// cached; the text is the key, so it must never hold a value. Placeholders are written as the database has them: `$1`,
/// `$2`, … on Postgres, `?` on MySQL.
///
/// The futures are boxed: else the compiler could not see any more, where one is part of another that is sent between
/// threads, that it holds for whatever lifetime the values have.
pub struct Sql<'a, DB: Backend, Row = ()> {
    text: Cow<'static, str>,
    values: Vec<Box<dyn Value<DB> + 'a>>,
    row: PhantomData<fn() -> Row>,
}

impl<'a, DB: Backend, Row> Sql<'a, DB, Row> {
    /// A statement whose text is one of a few in the program.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), values: Vec::new(), row: PhantomData }
    }

    /// Gives the next placeholder its value, of the SQL type `ST`.
    #[must_use]
    pub fn bind<ST, T>(mut self, value: T) -> Self
    where
        DB: HasSqlType<ST>,
        ST: 'a,
        T: ToSql<ST, DB> + Send + 'a,
    {
        self.values.push(Box::new(Typed::<ST, T> { value, sql_type: PhantomData }));
        self
    }

    /// Gives the next placeholders theirs. Postgres converts an integer for a narrower column, or says that it does not
    /// fit.
    #[must_use]
    pub fn bind_all(self, values: impl IntoIterator<Item = Bind<'a>>) -> Self
    where
        DB: HasSqlType<BigInt> + HasSqlType<Text>,
        Option<i64>: ToSql<Nullable<BigInt>, DB>,
        Option<&'a str>: ToSql<Nullable<Text>, DB>,
    {
        values.into_iter().fold(self, |statement, value| match value {
            Bind::Integer(number) => statement.bind::<Nullable<BigInt>, _>(number),
            Bind::Text(text) => statement.bind::<Nullable<Text>, _>(text),
        })
    }
}

impl<'a, DB: Backend + 'static, Row: 'a> Sql<'a, DB, Row> {
    /// All rows.
    pub fn rows<'r, C, T>(self, conn: &'r mut Connection<C>) -> BoxFuture<'r, Result<Vec<T>, Fault>>
    where
        'a: 'r,
        C: Driver<Backend = DB>,
        T: Send + 'r,
        Self: LoadQuery<'a, C, T>,
    {
        async move {
            let limit = conn.start();
            let rows = timeout(limit, self.load::<T>(conn.driver())).await;
            conn.told(rows)
        }
        .boxed()
    }

    /// The first row, if there is one.
    pub fn row<'r, C, T>(self, conn: &'r mut Connection<C>) -> BoxFuture<'r, Result<Option<T>, Fault>>
    where
        'a: 'r,
        C: Driver<Backend = DB>,
        T: Send + 'r,
        Self: LoadQuery<'a, C, T>,
    {
        let rows = self.rows(conn);
        async move { Ok(rows.await?.into_iter().next()) }.boxed()
    }

    /// Hands over the rows one by one, as they come in, until there are no more or `take` fails. When it fails, the
    /// connection is given up with the rows that are still on their way.
    pub fn each<'r, C, T, E>(
        self,
        conn: &'r mut Connection<C>,
        mut take: impl FnMut(T) -> Result<(), E> + Send + 'r,
    ) -> BoxFuture<'r, Result<(), E>>
    where
        'a: 'r,
        C: Driver<Backend = DB>,
        T: Send + 'r,
        E: From<Fault> + Send + 'r,
        Self: LoadQuery<'a, C, T>,
    {
        async move {
            let limit = conn.start();
            let ended = async {
                let rows = timeout(limit, self.load_stream::<T>(conn.driver())).await.map_err(|_| Ended::Silent)?;
                let mut rows = std::pin::pin!(rows.map_err(Ended::Failed)?);
                loop {
                    // Most rows are there already, and need no timer.
                    let row = match rows.try_next().now_or_never() {
                        Some(row) => row,
                        None => timeout(limit, rows.try_next()).await.map_err(|_| Ended::Silent)?,
                    };
                    let Some(row) = row.map_err(Ended::Failed)? else { return Ok(()) };
                    take(row).map_err(Ended::Refused)?;
                }
            }
            .await;
            match ended {
                Ok(()) => {
                    conn.finished();
                    Ok(())
                }
                Err(Ended::Failed(error)) => Err(conn.failed(error).into()),
                Err(Ended::Silent) => Err(conn.silent().into()),
                // The connection stays marked as busy, and is not given back.
                Err(Ended::Refused(error)) => Err(error),
            }
        }
        .boxed()
    }
}

/// How a stream of rows ended before its end.
enum Ended<E> {
    Failed(diesel::result::Error),
    /// Neither a row nor the end came in time.
    Silent,
    Refused(E),
}

impl<'a, DB: Backend + 'static> Sql<'a, DB> {
    /// Runs the statement; the number of rows that it changed.
    pub fn run<'r, C>(self, conn: &'r mut Connection<C>) -> BoxFuture<'r, Result<usize, Fault>>
    where
        'a: 'r,
        C: Driver<Backend = DB>,
        Self: ExecuteDsl<C>,
    {
        async move {
            let limit = conn.start();
            let result = timeout(limit, self.execute(conn.driver())).await;
            conn.told(result)
        }
        .boxed()
    }
}

/// A value of any type that a placeholder may have.
trait Value<DB: Backend>: Send {
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>;
}

struct Typed<ST, T> {
    value: T,
    sql_type: PhantomData<fn() -> ST>,
}

impl<DB, ST, T> Value<DB> for Typed<ST, T>
where
    DB: Backend + HasSqlType<ST>,
    T: ToSql<ST, DB> + Send,
{
    fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_bind_param_value_only::<ST, T>(&self.value)
    }
}

impl<DB: Backend, Row> QueryFragment<DB> for Sql<'_, DB, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(&self.text);
        self.values.iter().try_for_each(|value| value.push(&mut out))
    }
}

impl<DB: Backend, Row> QueryId for Sql<'_, DB, Row> {
    type QueryId = ();
    // The type does not tell one statement from another; the text does.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<DB: Backend, Row> Query for Sql<'_, DB, Row> {
    type SqlType = Row;
}
