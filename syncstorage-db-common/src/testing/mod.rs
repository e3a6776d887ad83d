//! What the tests of a backend need: the conformance suite, a model to compare with, and a clock to move.
//!
//! A backend runs the suite with one line, [`storage_conformance!`](crate::storage_conformance):
//!
//! ```ignore
//! async fn open(options: DbOptions) -> TestDb {
//!     let folder = tempfile::tempdir().unwrap();
//!     let db = SqliteDb::open(folder.path().join("sync.db"), options).unwrap();
//!     TestDb::new(Arc::new(db), folder)
//! }
//! syncstorage_db_common::storage_conformance!(open);
//! ```
//!
//! Where several servers may share a database,
//! [`storage_conformance_of_two_servers!`](crate::storage_conformance_of_two_servers) adds the cases for that.

#![expect(clippy::unwrap_used, reason = "test support: a panic is how a case fails")]

pub mod archive;
mod backend;
mod clock;
pub mod conformance;
mod model;
pub mod random;
mod user;

pub use backend::{Backend, Fixture, TestDb, run};
pub use clock::ManualClock;
pub use model::ModelDb;
pub use user::{Everything, Fields, Page, TestUser, Via, change, id, ids_of, name};
