//! The users and nodes as a whole: for backups, and for moves from one database to another.

use async_trait::async_trait;
use diesel::Queryable;
use syncstorage_db_common::{Bind, DbResult, Fault, Sink};

/// One row of the tokenserver's tables, with all its columns, in no database's terms. The row of the service is
/// implied: all of them are of [`SERVICE`](crate::SERVICE), whatever its id is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenItem {
    /// A row of `nodes`.
    Node(NodeItem),
    /// A row of `users`, be it in use or replaced, and whether its node is there or not.
    User(UserItem),
    /// What the operator has said of an account, or that it was refused.
    Account(AccountItem),
    /// A kind of device that asked for tokens.
    Device(DeviceItem),
    /// The greatest numbers that were ever given.
    Numbers(Numbers),
}

impl TokenItem {
    /// The values of the row, in the order of its fields; those of users and nodes have the id of the `service` behind
    /// their own. None for the numbers, which are no row.
    #[must_use]
    pub fn values(&self, service: i64) -> Vec<Bind<'_>> {
        match self {
            Self::Node(node) => vec![
                node.id.into(),
                service.into(),
                node.url.as_str().into(),
                node.available.into(),
                node.current_load.into(),
                node.capacity.into(),
                node.downed.into(),
                node.backoff.into(),
            ],
            Self::User(user) => vec![
                user.uid.into(),
                service.into(),
                user.email.as_str().into(),
                user.generation.into(),
                user.client_state.as_str().into(),
                user.created_at.into(),
                user.replaced_at.into(),
                user.nodeid.into(),
                user.keys_changed_at.into(),
            ],
            Self::Account(account) => vec![
                account.email.as_str().into(),
                account.verdict.as_deref().into(),
                account.decided_at.into(),
                account.refusals.into(),
                account.refused_first.into(),
                account.refused_last.into(),
                account.reason.as_deref().into(),
            ],
            Self::Device(device) => vec![
                device.uid.into(),
                device.agent.as_str().into(),
                device.user_agent.as_str().into(),
                device.first_seen.into(),
                device.last_seen.into(),
            ],
            Self::Numbers(_) => Vec::new(),
        }
    }
}

/// A row of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[expect(missing_docs, reason = "these are the columns of the table, as in `NodeRow`")]
pub struct NodeItem {
    pub id: i64,
    pub url: String,
    pub available: i64,
    pub current_load: i64,
    pub capacity: i64,
    pub downed: i64,
    pub backoff: i64,
}

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[expect(missing_docs, reason = "these are the columns of the table, as in `UserRow`")]
pub struct UserItem {
    pub uid: i64,
    pub email: String,
    pub generation: i64,
    pub client_state: String,
    pub created_at: i64,
    pub replaced_at: Option<i64>,
    pub nodeid: i64,
    pub keys_changed_at: Option<i64>,
}

/// A row of `syncserver_accounts`. Only our own databases have that table.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[expect(missing_docs, reason = "these are the columns of the table, as in `AccountEntry`")]
pub struct AccountItem {
    pub email: String,
    pub verdict: Option<String>,
    pub decided_at: Option<i64>,
    pub refusals: i64,
    pub refused_first: Option<i64>,
    pub refused_last: Option<i64>,
    pub reason: Option<String>,
}

/// A row of `syncserver_devices`, another table of our own.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
#[expect(missing_docs, reason = "these are the columns of the table, as in `DeviceEntry`")]
pub struct DeviceItem {
    pub uid: i64,
    pub agent: String,
    pub user_agent: String,
    pub first_seen: i64,
    pub last_seen: i64,
}

/// The greatest numbers that were ever given, or may have been: no lower one is given to anybody again, since storage
/// may lie under it, or a row name it. 0 where none was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Of users.
    pub uid: i64,
    /// Of nodes.
    pub node: i64,
}

/// What the users and nodes can be read from.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// Hands over all rows of one moment, and changes nothing: nodes by id, users by uid,
    /// accounts by e-mail and devices by uid and agent, byte for byte, and the numbers at last.
    async fn dump(&self, sink: &mut dyn Sink<TokenItem>) -> DbResult<()>;

    /// Whether there are accounts in it at all: not in another server's tables.
    async fn knows_accounts(&self) -> Result<bool, Fault>;
}

/// Tables that can be filled from outside, while nobody else uses them.
#[async_trait]
pub trait TokenTarget: TokenSource {
    /// Whether there is no user, no verdict of the operator on an account, and one node at most: a server that was
    /// started once may have made that one.
    async fn is_empty(&self) -> Result<bool, Fault>;

    /// Removes all users and nodes of the service, what is noted of devices, and, if `accounts`, of accounts. The numbers
    /// given so far are not given again.
    async fn clear(&self, accounts: bool) -> Result<(), Fault>;

    /// Adds rows as they are, all of them or none. [`TokenItem::Numbers`] raises the numbers that are given next, and
    /// lowers none.
    async fn load(&self, items: Vec<TokenItem>) -> Result<(), Fault>;
}

/// What to select of a table `users` that another server made, whose columns these are, in the order of [`UserItem`].
///
/// The tokenserver in Python (`tokenserver/assignment/sqlnode/schemas.py` and its migrations) has had the node's URL in
/// a column `node` before there was `nodeid`, and no `keys_changed_at` at first. With the simple one of its
/// self-hosted server (`syncserver/staticnode.py`) there are no nodes, and no table of services: `service` is the name
/// itself. Its users are where [`PUBLIC_URL_NODE_ID`](crate::PUBLIC_URL_NODE_ID) says.
#[must_use]
pub fn user_columns(columns: &[String], has_services: bool) -> String {
    let has = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    let nodeid = match () {
        () if has("nodeid") => "coalesce(nodeid, 0)",
        () if has("node") && has_services => {
            "coalesce((SELECT n.id FROM nodes n WHERE n.service = users.service AND n.node = users.node), 0)"
        }
        () => "0",
    };
    let keys_changed_at = if has("keys_changed_at") { "keys_changed_at" } else { "NULL" };
    format!(
        "uid, email, generation, client_state, created_at, replaced_at, {nodeid} AS nodeid, \
         {keys_changed_at} AS keys_changed_at"
    )
}
