//! Rows of the tables, and where a user's storage is.

use diesel::Queryable;
use syncstorage_db_common::UserId;

/// The name of the service in the table `services`. Its id there may be any number.
pub const SERVICE: &str = "sync-1.5";

/// The generation of a retired user: no other account reaches it.
pub const RETIRED: i64 = i64::MAX;

/// The `nodeid` of users who came while `nodes` was empty: the server's own public URL, then and for ever.
pub const PUBLIC_URL_NODE_ID: i64 = 0;

/// Where a user's storage is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// On this server, under its public URL as the settings have it.
    PublicUrl,
    /// There, as the table `nodes` has it, without a slash at the end.
    Url(String),
}

impl Node {
    /// The one with the URL of a row of `nodes`, which may end in a slash there.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self::Url(url.trim_end_matches('/').to_owned())
    }
}

/// A row of `users`, with the node that it names.
///
/// A user may have several: one for each encryption key and each node there ever was. The current one has the highest
/// ([`generation`](Self::generation), [`created_at`](Self::created_at), [`uid`](Self::uid)).
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct UserRow {
    /// The storage user.
    #[diesel(deserialize_as = i64)]
    pub uid: UserId,
    /// The greatest seen; 0 when none was.
    pub generation: i64,
    /// The digest of the encryption key in hex; may be empty.
    pub client_state: String,
    /// Ms since the epoch.
    pub created_at: i64,
    /// Since when it is no longer in use, in ms since the epoch.
    pub replaced_at: Option<i64>,
    /// As stored, whether there is such a node or not.
    pub nodeid: i64,
    /// The greatest seen, as stored: `None` and 0 both mean that none was.
    pub keys_changed_at: Option<i64>,
    /// The URL of the node `nodeid`, if there is one.
    pub node: Option<String>,
}

impl UserRow {
    /// Where this user's storage is; `None`: on a node that is gone. `has_nodes`: whether the service has any node.
    #[must_use]
    pub fn home(&self, has_nodes: bool) -> Option<Node> {
        home(self.nodeid, self.node.as_deref(), has_nodes)
    }

    /// Whether the account is retired.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.generation == RETIRED
    }

    /// What makes one row more current than another.
    pub(crate) const fn rank(&self) -> (i64, i64, UserId) {
        (self.generation, self.created_at, self.uid)
    }
}

/// Where the storage of a row with this `nodeid` is; `None`: on a node that is gone. `url`: of the row of `nodes` with
/// that id. `has_nodes`: whether the service has any node.
#[must_use]
pub fn home(nodeid: i64, url: Option<&str>, has_nodes: bool) -> Option<Node> {
    if !has_nodes || nodeid == PUBLIC_URL_NODE_ID {
        return Some(Node::PublicUrl);
    }
    url.map(Node::at)
}

/// Whether two URLs are the same but for slashes at their ends.
#[must_use]
pub fn same_url(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A row of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct NodeRow {
    /// The `nodeid` of its users.
    pub id: i64,
    /// Its URL.
    pub url: String,
    /// Users that it takes before capacity must be released.
    pub available: i64,
    /// Users that it has been given.
    pub current_load: i64,
    /// Users that it can hold.
    pub capacity: i64,
    /// Whether it is out of order.
    pub downed: bool,
    /// Whether it is to be left alone for the time being.
    pub backoff: bool,
}

/// A row of `users` that is no longer in use, and whose storage may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedRow {
    /// The storage user.
    pub uid: UserId,
    /// Whose it was.
    pub email: String,
    /// As stored; [`RETIRED`] where the account is gone.
    pub generation: i64,
    /// As stored.
    pub keys_changed_at: Option<i64>,
    /// The digest of the encryption key in hex; may be empty.
    pub client_state: String,
    /// Since when it is not in use, in ms since the epoch.
    pub replaced_at: i64,
    /// Where the storage is; `None`: on a node that is gone, so that nobody is there to be asked to delete it.
    pub node: Option<Node>,
}
