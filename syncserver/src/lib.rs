//! A Firefox Sync server: the tokenserver and the storage API in one program.
//!
//! [`cli`] is what an operator types; [`server`] puts everything together and runs it; [`web`] and [`tokenserver`] answer
//! requests; [`backend`] is the one place that knows which databases there are.

// They panic where the stream cannot be written to.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod archive;
pub mod backend;
mod causes;
pub mod cli;
mod detached;
mod doctor;
mod files;
mod hex;
pub mod logging;
mod loopback;
pub mod metrics;
mod node;
mod pulse;
mod purge;
pub mod reports;
pub mod server;
mod service_manager;
pub mod settings;
mod signals;
pub mod state;
pub mod tls;
pub mod token;
pub mod tokenserver;
pub mod web;
