//! What differs between the databases.

use std::future::Future;

use diesel::QueryResult;
use diesel::migration::{Migration, Result as MigrationResult};
use diesel::result::Error;
use diesel_async::pooled_connection::PoolableConnection;
use diesel_migrations::EmbeddedMigrations;

use crate::location::Location;
use crate::open::OpenError;

/// A connection to a kind of database, with what the engine has to know of that kind.
pub trait Driver: PoolableConnection + Send + 'static {
    /// The engine's own tables.
    const MIGRATIONS: EmbeddedMigrations;
    /// Whether a transaction takes the definition of tables back, too.
    const TRANSACTIONAL_DDL: bool;
    /// A statement that waits until no other process changes the tables, and holds them off until its connection ends.
    const LOCK_SCHEMA: &str;
    /// Adds a row to the table `syncserver_meta`, where there is none of that name. Values: name, value.
    const ADD_META: &str;
    /// Changes a row of that table. Values: new value, name, old value.
    const CHANGE_META: &str;
    /// Reads a row of that table. Value: name.
    const READ_META: &str;
    /// Adds a row to that table, or gives the one that is there another value, at once. Values: name, value.
    const WRITE_META: &str;
    /// Removes a row of that table. Value: name.
    const REMOVE_META: &str;
    /// Begins a transaction that sees one committed state all along, changes nothing, and holds nobody up.
    const BEGIN_SNAPSHOT: &str;
    /// The number of this program's other connections to the database, as far as the server tells; without a server that
    /// tells, none.
    const COUNT_OTHERS: Option<&str>;
    /// One row if the table is there whose name is the value.
    const FIND_TABLE: &str;

    /// Runs a statement for its rows of one text each. `value` is for its placeholder, if it has one.
    fn texts(
        &mut self,
        statement: &'static str,
        value: Option<&str>,
    ) -> impl Future<Output = QueryResult<Vec<String>>> + Send;

    /// Runs a statement for what it changes; the number of rows.
    fn change(
        &mut self,
        statement: &'static str,
        values: Vec<String>,
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// A statement after which the connection waits for a lock so many seconds at most.
    fn limit_locks(seconds: u64) -> String;

    /// Runs one migration. It blocks: Diesel's migrations know no other way.
    fn migrate(self, migration: &dyn Migration<Self::Backend>) -> MigrationResult<Self>;

    /// Connects, and sets the connection up. Without a limit of its own.
    fn connect(location: &Location) -> impl Future<Output = Result<Self, OpenError>> + Send;

    /// Asks the server for its version, and refuses one that is too old.
    fn check_version(&mut self, location: &Location) -> impl Future<Output = Result<(), OpenError>> + Send;

    /// What an error of a statement means.
    fn trouble(error: &Error) -> Trouble;
}

/// What kind of trouble a statement met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection is gone: the server was stopped, or the network failed.
    Lost,
    /// Another transaction was in the way; this one has been, or is to be, undone, and may be tried again at once.
    Contended,
    /// The server cannot do it now.
    Busy,
    /// Anything else.
    Other,
}
