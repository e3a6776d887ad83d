//! Throw-away Postgres and MariaDB servers for tests, benchmarks and people.
//!
//! The program `testdb run postgres,mysql -- cargo test …` starts a server of each kind on a port of its own, with its
//! data in a temporary folder, runs the command, and takes the servers away again however that ends. A test asks for an
//! empty database on one of them by [`postgres`] or [`mysql`]. A test that needs a server to itself, to stop it or to
//! have it speak TLS, starts a [`Server`].
//!
//! [`RoundTrips`] counts how often a program asks its database and waits for the answer.
//!
//! For tests of servers of other kinds there are [`free_port`] and [`Killed`].
//!
//! What is meant for tests panics with a sentence when it fails; [`Server::try_start`] is for programs.

mod counter;
mod database;
mod engine;
mod error;
mod folder;
mod install;
mod mysql;
mod options;
mod postgres;
mod process;
mod programs;
mod server;
mod session;

pub use counter::RoundTrips;
pub use database::{Database, mysql, postgres};
pub use engine::{Engine, UnknownEngine};
pub use error::ServerError;
pub use install::install;
pub use options::Options;
pub use process::Killed;
pub use server::{Server, free_port};
