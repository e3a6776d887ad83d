//! The program as an operator runs it: started, stopped, killed, and given things that it cannot use.
//!
//! [`program::Server`] runs the real binary; no process outlives its test.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod archive;
mod backup_target;
mod client;
mod command_line;
mod commands;
mod crash;
mod databases;
mod doctor;
mod first_start;
mod full_disk;
mod journal;
mod load;
mod logs;
mod metrics;
mod nodes;
mod notify;
mod places;
mod program;
mod secrets;
mod sentry;
mod site;
mod small_disk;
mod stop;
mod tls;
mod users;
