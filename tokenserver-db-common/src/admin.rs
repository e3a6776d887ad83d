//! The trait by which an operator looks at accounts, devices and nodes, and changes them.

use async_trait::async_trait;
use syncstorage_db_common::{Fault, UserId};

use crate::{Agent, Node, NodeRow, Refusal, UserRow};

/// At most so many kinds of devices are kept for one storage user; the one that was not seen for longest goes.
pub const MAX_DEVICES: u32 = 50;

/// At most so many accounts are kept that were refused and of which the operator has said nothing; the one that has not
/// tried for longest goes.
pub const MAX_NEWCOMERS: u32 = 1000;

/// A device is noted again when it was last noted so long ago, in ms.
pub const DEVICE_INTERVAL_MS: i64 = 24 * 60 * 60 * 1000;

/// What the operator has said of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It may become a user where only those on the allow list may.
    Allowed,
    /// It may not sign in, whether it is a user or not.
    Denied,
}

impl Verdict {
    /// As the table has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
        }
    }

    /// Of the column; what is neither word says nothing.
    #[must_use]
    pub fn of_column(text: Option<&str>) -> Option<Self> {
        [Self::Allowed, Self::Denied].into_iter().find(|verdict| text == Some(verdict.as_str()))
    }
}

/// Which rows of `users` are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserFilter {
    /// The current row of each account, retired ones too.
    Current,
    /// All rows of the account with this e-mail.
    Email(String),
    /// All rows of the accounts with this id, whatever the domain behind it: what is before the `@`.
    FxaUid(String),
    /// The row with this uid.
    Uid(UserId),
}

/// A row of `users`, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// `<FxA uid>@<domain>`.
    pub email: String,
    /// The row.
    pub row: UserRow,
    /// Where the storage is; `None`: on a node that is gone.
    pub home: Option<Node>,
    /// What the operator has said of the account.
    pub verdict: Option<Verdict>,
    /// Kinds of devices that were seen with this row.
    pub devices: u64,
}

impl UserEntry {
    /// The most current one of an account's rows.
    #[must_use]
    pub fn current(rows: &[Self]) -> Option<&Self> {
        rows.iter().max_by_key(|entry| entry.row.rank())
    }
}

/// Which accounts are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountFilter {
    /// Those that were refused, of which the operator has said nothing, and that are no users.
    Pending,
    /// Those of which the operator has said this.
    With(Verdict),
}

/// What is known of an account besides its rows of `users`: a row of `syncserver_accounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEntry {
    /// `<FxA uid>@<domain>`.
    pub email: String,
    /// What the operator has said of it.
    pub verdict: Option<Verdict>,
    /// When, in ms since the epoch.
    pub decided_at: Option<i64>,
    /// How often a refusal was noted; a client that insists is noted about once a minute.
    pub refusals: i64,
    /// When the first one was noted, in ms since the epoch.
    pub refused_first: Option<i64>,
    /// When the last one was, likewise.
    pub refused_last: Option<i64>,
    /// Why it was refused: [`reason`].
    pub reason: Option<String>,
}

/// A word for the table: why an account was refused as a whole, not just one token of it; `None` for other refusals.
#[must_use]
pub const fn reason(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::RegistrationClosed => Some("closed"),
        Refusal::NotOnAllowList => Some("allow_list"),
        Refusal::UserLimit { .. } => Some("max_users"),
        Refusal::Denied => Some("denied"),
        Refusal::KeysAheadOfGeneration { .. }
        | Refusal::EmptyClientState
        | Refusal::StaleClientState
        | Refusal::ClientStateWithoutGeneration { .. }
        | Refusal::ClientStateWithoutKeysChange { .. }
        | Refusal::OldGeneration { .. }
        | Refusal::Retired
        | Refusal::OldKeys { .. }
        | Refusal::NoKeysChangedAt { .. } => None,
    }
}

/// A kind of device that asked for tokens: a row of `syncserver_devices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// What was last sent.
    pub agent: Agent,
    /// When it was first noted, in ms since the epoch.
    pub first_seen: i64,
    /// When it was last noted, likewise; within a day of when it was last seen.
    pub last_seen: i64,
}

/// A row of `nodes`, by what an operator calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeName {
    /// Its id.
    Id(i64),
    /// Its URL, exactly as the table has it.
    Url(String),
}

/// What becomes of a row of `nodes`; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChange {
    /// At most 64 characters.
    pub url: Option<String>,
    /// At most 2^31 - 1.
    pub capacity: Option<u32>,
    /// At most 2^31 - 1.
    pub available: Option<u32>,
    /// See [`NodeRow::downed`].
    pub downed: Option<bool>,
    /// See [`NodeRow::backoff`].
    pub backoff: Option<bool>,
}

impl NodeChange {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The row after the change, or why there is none. `nodes`: all of the service. With another capacity, and nothing
    /// said of it, `available` is no more than there is room for.
    pub fn apply(&self, nodes: &[NodeRow], name: &NodeName) -> Result<NodeRow, NodeChanged> {
        let node = nodes.iter().find(|node| match name {
            NodeName::Id(id) => node.id == *id,
            NodeName::Url(url) => node.url == *url,
        });
        let node = node.ok_or(NodeChanged::NoNode)?;
        let url = self.url.clone().unwrap_or_else(|| node.url.clone());
        if nodes.iter().any(|other| other.id != node.id && other.url == url) {
            return Err(NodeChanged::UrlTaken);
        }
        let capacity = self.capacity.map_or(node.capacity, i64::from);
        let room = capacity.saturating_sub(node.current_load).max(0);
        Ok(NodeRow {
            id: node.id,
            url,
            available: match (self.available, self.capacity) {
                (Some(available), _) => available.into(),
                (None, Some(_)) => node.available.min(room),
                (None, None) => node.available,
            },
            current_load: node.current_load,
            capacity,
            downed: self.downed.unwrap_or(node.downed),
            backoff: self.backoff.unwrap_or(node.backoff),
        })
    }
}

/// How a change of a node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeChanged {
    /// As wished.
    Done,
    /// There is no such node.
    NoNode,
    /// Another node has that URL.
    UrlTaken,
}

/// What an operator does with accounts, devices and nodes, while the server runs or not; and what the server notes for
/// the operator.
///
/// As with [`TokenDb`](crate::TokenDb), each method is one operation, whole and atomic, about the service
/// [`SERVICE`](crate::SERVICE) alone, and a write that returns survives a crash. E-mails are compared byte for byte.
#[async_trait]
pub trait TokenAdmin: Send + Sync {
    /// Rows of `users` with a uid greater than `after`, by uid, at most `limit`.
    async fn users(&self, filter: &UserFilter, after: Option<UserId>, limit: u32) -> Result<Vec<UserEntry>, Fault>;

    /// Rows of `syncserver_accounts`, by e-mail, greater than `after`, at most `limit`.
    async fn accounts(
        &self,
        filter: AccountFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AccountEntry>, Fault>;

    /// The row of `syncserver_accounts` of an account, if there is one.
    async fn account(&self, email: &str) -> Result<Option<AccountEntry>, Fault>;

    /// Says something of an account, known or not, in place of what was said before; `None` takes it back. What was said
    /// before.
    async fn set_verdict(&self, email: &str, verdict: Option<Verdict>, now_ms: i64) -> Result<Option<Verdict>, Fault>;

    /// Notes that an account was refused for a [`reason`]. Of those without a verdict only the [`MAX_NEWCOMERS`] that
    /// have tried last are kept.
    async fn note_refusal(&self, email: &str, reason: &str, now_ms: i64) -> Result<(), Fault>;

    /// Notes a device of a storage user: where it is new or was last noted [`DEVICE_INTERVAL_MS`] ago or earlier, else
    /// nothing is written. Where there is no such user, neither. A user has at most [`MAX_DEVICES`].
    async fn note_device(&self, uid: UserId, agent: &Agent, now_ms: i64) -> Result<(), Fault>;

    /// The devices of a storage user, those seen last first.
    async fn devices(&self, uid: UserId) -> Result<Vec<DeviceEntry>, Fault>;

    /// Marks all rows of an account as replaced, where they are not yet, so that each may be
    /// [forgotten](crate::TokenDb::forget_row), and that the purge takes their storage if that never happens. How many
    /// were marked.
    async fn replace_user(&self, email: &str, now_ms: i64) -> Result<u64, Fault>;

    /// Changes a row of `nodes`. Nobody is given a place on it meanwhile.
    async fn set_node(&self, node: &NodeName, change: &NodeChange) -> Result<NodeChanged, Fault>;

    /// Marks the rows of all users on a node as replaced, where they are not yet, except those of retired ones: each is
    /// given a place elsewhere at the next sign-in. Who becomes a user of the node at the same time may stay. How many
    /// were marked.
    async fn replace_users_of_node(&self, nodeid: i64, now_ms: i64) -> Result<u64, Fault>;

    /// For each node that has users, its id, and how many rows in use name it; retired users and replaced rows are not
    /// counted.
    async fn users_of_nodes(&self) -> Result<Vec<(i64, u64)>, Fault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_changed_in_what_was_named_and_in_nothing_else() {
        let node = |id, url: &str| NodeRow {
            id,
            url: url.into(),
            available: 40,
            current_load: 50,
            capacity: 100,
            downed: false,
            backoff: true,
        };
        let nodes = [node(1, "https://a"), node(2, "https://b")];
        let apply = |change: NodeChange| change.apply(&nodes, &NodeName::Id(2));
        let none = NodeChange::default;
        assert!(none().is_empty());
        assert_eq!(apply(none()), Ok(node(2, "https://b")));
        for (change, expected) in [
            (NodeChange { capacity: Some(200), ..none() }, NodeRow { capacity: 200, ..node(2, "https://b") }),
            (
                NodeChange { capacity: Some(60), ..none() },
                NodeRow { capacity: 60, available: 10, ..node(2, "https://b") },
            ),
            (
                NodeChange { capacity: Some(20), ..none() },
                NodeRow { capacity: 20, available: 0, ..node(2, "https://b") },
            ),
            (
                NodeChange { capacity: Some(60), available: Some(7), ..none() },
                NodeRow { capacity: 60, available: 7, ..node(2, "https://b") },
            ),
            (
                NodeChange { downed: Some(true), backoff: Some(false), ..none() },
                NodeRow { downed: true, backoff: false, ..node(2, "https://b") },
            ),
            (NodeChange { url: Some("https://c".into()), ..none() }, node(2, "https://c")),
            (NodeChange { url: Some("https://b".into()), ..none() }, node(2, "https://b")),
        ] {
            assert!(!change.is_empty());
            assert_eq!(apply(change.clone()), Ok(expected), "{change:?}");
        }
        assert_eq!(apply(NodeChange { url: Some("https://a".into()), ..none() }), Err(NodeChanged::UrlTaken));
        for unknown in [NodeName::Id(3), NodeName::Url("https://b/".into())] {
            assert_eq!(none().apply(&nodes, &unknown), Err(NodeChanged::NoNode));
        }
        assert_eq!(none().apply(&nodes, &NodeName::Url("https://a".into())), Ok(node(1, "https://a")));
    }
}
