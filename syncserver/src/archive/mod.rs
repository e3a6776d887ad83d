//! Backups, and moves from one database to another.
//!
//! A backup is one file: JSON Lines, compressed by zstd, sealed by checksums ([`format`](mod@format) says how each line
//! looks, [`seal`] what is around them; `docs/src/backup.md` says it for others). [`write`](mod@write) and [`read`] make
//! and take such a file apart; [`copy`] brings what is read from anywhere into databases, [`adapt`] makes it fit. None of them knows a database:
//! they go by the traits of the backends.

pub mod adapt;
pub mod copy;
pub mod format;
pub mod read;
pub mod seal;
pub mod write;

use serde::{Deserialize, Serialize};
use syncstorage_db_common::{StoredBso, StoredItem};
use tokenserver_db_common::TokenItem;

/// One thing that a server keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Of the storage.
    Storage(StoredItem),
    /// Of the tokenserver. These come after all of the storage.
    Token(TokenItem),
}

impl Item {
    /// What it is, for people, without what is nobody's business.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Storage(StoredItem::Store { user, modified }) => format!("the store of user {user}, of {modified}"),
            Self::Storage(StoredItem::Collection { at, modified }) => {
                format!("the collection {} of user {}, of {modified}", at.collection, at.user)
            }
            Self::Storage(StoredItem::Bso(StoredBso { at, bso, .. })) => {
                format!(
                    "the record {:?} in {} of user {}, of {}",
                    bso.id.as_str(),
                    at.collection,
                    at.user,
                    bso.modified
                )
            }
            Self::Token(TokenItem::Node(node)) => format!("node {} ({})", node.id, node.url),
            Self::Token(TokenItem::User(user)) => format!("the row of user {}", user.uid),
            Self::Token(TokenItem::Account(account)) => format!("what is noted of the account {:?}", account.email),
            Self::Token(TokenItem::Device(device)) => format!("a device of user {}", device.uid),
            Self::Token(TokenItem::Numbers(numbers)) => {
                format!("{} and {} as the last numbers of users and nodes", numbers.uid, numbers.node)
            }
        }
    }
}

/// How many things there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Users who have ever written.
    pub stores: u64,
    /// Their collections.
    pub collections: u64,
    /// Their records.
    pub records: u64,
    /// Rows of the tokenserver's table of nodes.
    pub nodes: u64,
    /// Rows of its table of users.
    pub users: u64,
    /// Accounts of which something is noted.
    pub accounts: u64,
    /// Devices that were seen.
    pub devices: u64,
}

impl Counts {
    /// Counts one more.
    pub fn add(&mut self, item: &Item) {
        match item {
            Item::Storage(StoredItem::Store { .. }) => self.stores += 1,
            Item::Storage(StoredItem::Collection { .. }) => self.collections += 1,
            Item::Storage(StoredItem::Bso(_)) => self.records += 1,
            Item::Token(TokenItem::Node(_)) => self.nodes += 1,
            Item::Token(TokenItem::User(_)) => self.users += 1,
            Item::Token(TokenItem::Account(_)) => self.accounts += 1,
            Item::Token(TokenItem::Device(_)) => self.devices += 1,
            Item::Token(TokenItem::Numbers(_)) => {}
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { stores, collections, records, nodes, users, accounts, devices } = self;
        write!(
            f,
            "{records} records in {collections} collections of {stores} stores; {users} rows of users, {nodes} of nodes, \
             {accounts} of accounts, {devices} of devices"
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
