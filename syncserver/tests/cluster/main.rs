//! Several servers on one database, and a database that goes away: real processes, and on Postgres and MariaDB a real
//! database server.
//!
//! `TEST_BACKEND` names the database: `sqlite` (the default), `postgres` or `mysql`. What is about database servers alone
//! runs on both of them whatever it says.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(dead_code, reason = "the tests of a single process use more of what is shared with them")]

#[path = "../process/client.rs"]
mod client;
mod database;
mod faults;
mod migrate;
#[path = "../process/program.rs"]
mod program;
mod refusals;
mod sign_in;
mod together;
