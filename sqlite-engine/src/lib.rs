//! SQLite as the backends of this server want it.
//!
//! [`SqliteEngine`] is one database file, opened once in a process and shared by all that keep something in it:
//!
//! - one connection writes, on a thread of its own ([`SqliteEngine::write`]): it takes the writes that wait, runs each
//!   in a savepoint of one transaction, commits once, and only then answers them all;
//! - a pool of connections reads ([`SqliteEngine::reader`]), each read a snapshot that no writer disturbs.
//!
//! So SQLite's own lock never stands between two requests, and many small writes share one `fsync`.

mod beside;
mod engine;
mod location;
mod migrate;
mod note;
mod open;
mod pauses;
mod secret;
mod space;
mod sql;
mod writer;
mod writer_status;

pub use beside::{columns, is_in_use, note_in, open_to_read};
pub use engine::{EngineOptions, Reader, SqliteEngine, snapshot};
pub use location::{InvalidLocation, SqliteLocation};
pub use open::OpenError;
pub use space::give_back;
pub use sql::{Sql, sql};
pub use writer_status::{COMMIT_SIZES, WriterStatus};
