//! A statement in SQL whose prepared form each connection keeps.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::deserialize::FromSqlRow;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::methods::LoadQuery;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{QueryResult, RunQueryDsl};
use syncstorage_db_common::{Bind, Fault};

use crate::open::fault;

/// A statement with its values; `Row` is the SQL type of its rows, a tuple.
///
/// Diesel's `sql_query` prepares its statement anew at each use, which costs more than running it. This one says that
/// it may be cached; the text is the key, so it must never hold a value.
pub struct Sql<'a, Row = ()> {
    text: Cow<'static, str>,
    binds: Vec<Bind<'a>>,
    row: PhantomData<Row>,
}

/// A statement whose text, with a `?` for each value, is one of a few in the program.
pub fn sql<'a, Row>(text: impl Into<Cow<'static, str>>) -> Sql<'a, Row> {
    Sql { text: text.into(), binds: Vec::new(), row: PhantomData }
}

impl<'a, Row> Sql<'a, Row> {
    /// Gives the next `?` its value.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Bind<'a>>) -> Self {
        self.binds.push(value.into());
        self
    }

    /// Gives the next ones theirs.
    #[must_use]
    pub fn bind_all(mut self, values: impl IntoIterator<Item = Bind<'a>>) -> Self {
        self.binds.extend(values);
        self
    }
}

impl Sql<'_, ()> {
    /// Runs the statement; the number of rows that it changed.
    pub fn run(self, conn: &mut SqliteConnection) -> Result<usize, Fault> {
        self.checked()?.execute(conn).map_err(fault)
    }
}

impl<'a, Row> Sql<'a, Row> {
    /// All rows.
    pub fn rows<T>(self, conn: &mut SqliteConnection) -> Result<Vec<T>, Fault>
    where
        T: FromSqlRow<Row, Sqlite>,
        Self: LoadQuery<'a, SqliteConnection, T>,
    {
        self.checked()?.load(conn).map_err(fault)
    }

    /// The first row, if there is one.
    pub fn row<T>(self, conn: &mut SqliteConnection) -> Result<Option<T>, Fault>
    where
        T: FromSqlRow<Row, Sqlite>,
        Self: LoadQuery<'a, SqliteConnection, T>,
    {
        self.checked()?.load_iter(conn).map_err(fault)?.next().transpose().map_err(fault)
    }

    /// Hands over the rows one by one, until there are no more or `take` fails.
    pub fn each<T, E>(self, conn: &mut SqliteConnection, mut take: impl FnMut(T) -> Result<(), E>) -> Result<(), E>
    where
        T: FromSqlRow<Row, Sqlite>,
        E: From<Fault>,
        Self: LoadQuery<'a, SqliteConnection, T>,
    {
        for row in self.checked()?.load_iter(conn).map_err(fault)? {
            take(row.map_err(fault)?)?;
        }
        Ok(())
    }

    /// SQLite takes a `?` without a value for NULL, and says nothing.
    fn checked(self) -> Result<Self, Fault> {
        let places = self.text.bytes().filter(|byte| *byte == b'?').count();
        if places == self.binds.len() {
            Ok(self)
        } else {
            Err(Fault::internal(format!("a statement with {places} places for {} values", self.binds.len())))
        }
    }
}

impl<Row> QueryFragment<Sqlite> for Sql<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(&self.text);
        for bind in &self.binds {
            match bind {
                Bind::Integer(value) => out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?,
                Bind::Text(value) => out.push_bind_param_value_only::<Nullable<Text>, _>(value)?,
            }
        }
        Ok(())
    }
}

impl<Row> QueryId for Sql<'_, Row> {
    type QueryId = ();
    // The type does not tell one statement from another; the text does.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Sql<'_, Row> {
    type SqlType = Row;
}

impl<Row> RunQueryDsl<SqliteConnection> for Sql<'_, Row> {}
