//! A Firefox Sync server: the tokenserver and the storage API in one program.
//!
//! [`cli`] is what an operator types; [`server`] puts everything together and runs it; [`web`] and [`tokenserver`] answer
//! requests; [`backend`] is the one place that knows which databases there are.

pub mod archive;
pub mod backend;
mod causes;
pub mod cli;
mod detached;
mod doctor;
pub mod logging;
mod node;
mod purge;
pub mod server;
pub mod settings;
mod signals;
pub mod state;
pub mod token;
pub mod tokenserver;
pub mod web;
