//! What the backends on database servers share.
//!
//! [`Engine`] is one database, opened once in a process and shared by all that keep something in it, as the storage and
//! the tokenserver do. It knows how to connect (by URL, with TLS), how many connections there may be, what is to be
//! tried again, and how the tables come up to date. It knows no table but its own.
//!
//! - **A pool for each runtime.** Every worker of the server has a runtime and a thread of its own. A connection is
//!   used on the runtime that it was made on, so that a question to the database and its answer wake no other thread.
//! - **Round trips are counted.** No connection is asked whether it is alive before a request, no statement is prepared
//!   twice on a connection, BEGIN and COMMIT travel with the statement beside them.
//! - **A connection is given back clean or not at all.** A request that is cut off in the middle of a statement or a
//!   transaction takes its connection with it.

mod connection;
mod driver;
mod engine;
mod location;
mod migrate;
mod open;
mod pool;
mod secret;
mod statement;
mod tls;

#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "postgres")]
pub mod postgres;

pub use connection::Connection;
pub use driver::{Driver, Trouble};
pub use engine::{Engine, EngineOptions};
pub use location::{InvalidLocation, Kind, Location};
pub use open::OpenError;
pub use statement::Sql;

/// A database on Postgres.
#[cfg(feature = "postgres")]
pub type PostgresEngine = Engine<diesel_async::AsyncPgConnection>;

/// A database on MySQL or MariaDB.
#[cfg(feature = "mysql")]
pub type MysqlEngine = Engine<diesel_async::AsyncMysqlConnection>;
