//! What the commands about users and nodes work with.

use std::sync::Arc;

use syncstorage_db_common::{Clock, Fault, Precondition, UserId};
use tokenserver_db_common::{Node, UserEntry, UserFilter};

use crate::backend::{self, Attached};
use crate::causes::chain;
use crate::node::{self, Nodes, NotDeleted};
use crate::server;
use crate::settings::Settings;

/// So many rows are asked for at a time.
const PAGE: u32 = 500;

/// The settings, and the databases that they name.
pub(super) struct Operator<'a> {
    pub(super) settings: &'a Settings,
    pub(super) databases: Attached,
    pub(super) clock: Clock,
    pub(super) public_url: String,
    nodes: Nodes,
}

impl<'a> Operator<'a> {
    /// Opens the databases, whether a server runs on them or not.
    pub(super) async fn attach(settings: &'a Settings) -> Result<Self, String> {
        let clock = Clock::system();
        let databases = backend::attach(settings, clock.clone()).await.map_err(|error| error.to_string())?;
        let token_keys =
            databases.master_secret.as_ref().map(|secret| Arc::new(server::token_keys(secret.expose(), settings)));
        let nodes = Nodes { token_keys, clock: clock.clone() };
        Ok(Self { settings, databases, clock, public_url: settings.public_url.to_string(), nodes })
    }

    /// All rows that a filter names.
    pub(super) async fn users(&self, filter: &UserFilter) -> Result<Vec<UserEntry>, String> {
        let mut all = Vec::new();
        let mut after: Option<UserId> = None;
        loop {
            let page = self.databases.admin.users(filter, after, PAGE).await.map_err(failed)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.row.uid);
            all.extend(page);
        }
    }

    /// The URL of a node.
    pub(super) fn url<'n>(&'n self, node: &'n Node) -> &'n str {
        node::url(node, &self.public_url)
    }

    /// Whether the storage of a user is in the database of these settings.
    pub(super) fn is_here(&self, home: Option<&Node>) -> bool {
        home.is_some_and(|node| self.url(node) == self.public_url)
    }

    /// Deletes all that a user has stored, here or on another node. An error says where it is.
    pub(super) async fn delete_storage(&self, uid: UserId, home: Option<&Node>) -> Result<(), String> {
        let storage = &*self.databases.storage;
        self.nodes.delete_storage(storage, &self.public_url, uid, home).await.map_err(
            |NotDeleted { reason, .. }| {
                let place = home.map(|node| self.url(node)).unwrap_or_default();
                format!("the storage of the uid {uid} at {place} could not be deleted: {reason}")
            },
        )
    }

    /// When a user's storage was last written to, in ms since the epoch, and its bytes of payload. `None`: it is not
    /// here.
    pub(super) async fn usage(&self, entry: &UserEntry) -> Result<Option<(Option<i64>, u64)>, String> {
        if !self.is_here(entry.home.as_ref()) {
            return Ok(None);
        }
        let found = self.databases.storage.info_quota(entry.row.uid, Precondition::None).await;
        let found = found.map_err(|error| chain(&error))?;
        let written = Some(found.last_modified.as_ms()).filter(|ms| *ms > 0);
        Ok(Some((written, found.value)))
    }
}

/// A database that failed, as a sentence.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
pub(super) fn failed(fault: Fault) -> String {
    format!("the database failed: {}", chain(&fault))
}
