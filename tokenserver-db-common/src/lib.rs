//! What a tokenserver backend of a Sync 1.5 server is.
//!
//! The tokenserver knows who is a user, which storage user (`uid`) that is, and on which node the storage lies.
//! [`TokenDb`] is the whole interface between the web layer and a database: one method is one operation, atomic and
//! complete. What is decided is decided here, in pure functions that every backend calls inside its transaction:
//! [`rules`] says whether a user is let in and what becomes of the rows, [`nodes`] which node takes a new user.
//!
//! [`TokenAdmin`] is what an operator does with users, devices and nodes, by the program's commands.
//!
//! With the feature `testing`, [`testing`] holds the conformance suite that every backend runs.

mod account;
mod admin;
mod agent;
mod archive;
pub mod columns;
mod db;
mod error;
pub mod nodes;
mod policy;
mod rows;
pub mod rules;

#[cfg(feature = "testing")]
pub mod testing;

pub use account::{Account, InvalidAccount, is_fxa_uid};
pub use admin::{
    AccountEntry, AccountFilter, DEVICE_INTERVAL_MS, DeviceEntry, MAX_DEVICES, MAX_NEWCOMERS, NodeChange, NodeChanged,
    NodeName, TokenAdmin, UserEntry, UserFilter, Verdict, reason,
};
pub use agent::{Agent, MAX_USER_AGENT};
pub use archive::{
    AccountItem, DeviceItem, NodeItem, Numbers, TokenItem, TokenSource, TokenTarget, UserItem, user_columns,
};
pub use db::{SignIn, SignedIn, TokenDb};
pub use error::{Refusal, TokenError};
pub use policy::{Policy, Registration};
pub use rows::{Node, NodeRow, PUBLIC_URL_NODE_ID, RETIRED, ReplacedRow, SERVICE, UserRow, home, same_url};
