//! The trait that every tokenserver backend implements.

use std::sync::Arc;

use async_trait::async_trait;
use syncstorage_db_common::{Fault, PoolStatus, SecretClaim, SecretFingerprint, UserId};

use crate::{Account, Node, NodeRow, Policy, ReplacedRow, TokenError};

/// A request for a token, once the access token has been verified.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who it is.
    pub account: Account,
    /// The operator's settings.
    pub policy: Arc<Policy>,
    /// Now, in ms since the epoch.
    pub now_ms: i64,
}

/// A user who was let in: what the token is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The storage user.
    pub uid: UserId,
    /// The greatest seen; 0 when none was.
    pub generation: i64,
    /// The greatest seen; where there is none, the token has the generation in its place.
    pub keys_changed_at: Option<i64>,
    /// The digest of the encryption key in hex; may be empty.
    pub client_state: String,
    /// Where the storage is.
    pub node: Node,
    /// Whether the account was unknown until now.
    pub created: bool,
}

/// The users, and the nodes that hold their storage.
///
/// Each method is one operation, whole and atomic: when it fails, nothing of it has happened, except where it says
/// otherwise. All of them are about the service [`SERVICE`](crate::SERVICE), whatever its id is, and leave the rows of
/// other services alone. When a write returns, it survives a crash of the server.
#[async_trait]
pub trait TokenDb: Send + Sync {
    /// Lets a user in or refuses, by the [rules](crate::rules).
    ///
    /// What a backend owes: it loads the user's rows, calls [`rules::plan`](crate::rules::plan) and carries the plan
    /// out in one transaction, and
    /// - sign-ins of one account happen one after the other, whatever process they come through: of two first ones at
    ///   once, one makes the row and the other finds it. A row that is not there cannot be locked by
    ///   `SELECT … FOR UPDATE`; an advisory lock, or an upsert of a row made for the purpose, can do it;
    /// - of several new users at once, no more than `max_users` allows are let in: where it is set, first sign-ins of
    ///   all accounts happen one after the other;
    /// - [`nodes::allocate`](crate::nodes::allocate) sees rows of `nodes` that nobody else changes before its result
    ///   is committed, so that a place is given once;
    /// - a refusal still commits the `replaced_at` of older rows that the plan names.
    ///
    /// A plan that [writes nothing](crate::rules::Plan::settled) needs no lock: it may be made from any one committed
    /// state, and is the answer.
    async fn sign_in(&self, request: &SignIn) -> Result<SignedIn, TokenError>;

    /// Retires a user whose account was deleted: each of the account's rows gets the generation
    /// [`RETIRED`](crate::RETIRED), so that none of them can become current again when others are purged, and
    /// `replaced_at` `now_ms` where it has none, so that the purge takes the storage. Whether that changed any row.
    async fn retire_user(&self, email: &str, now_ms: i64) -> Result<bool, Fault>;

    /// Raises the generation of the user's current row to `generation`, so that older access tokens are refused; never
    /// lowers it. Whether there was such a user with a lesser generation.
    async fn password_changed(&self, email: &str, generation: i64) -> Result<bool, Fault>;

    /// Adds a node with so many places, none of them taken, where there is none with this URL; one that is there stays
    /// as it is. Whether it was added. Two at once add one. `capacity`: at most 2^31 - 1.
    async fn init_node(&self, url: &str, capacity: u32) -> Result<bool, Fault>;

    /// All nodes of the service, by id.
    async fn nodes(&self) -> Result<Vec<NodeRow>, Fault>;

    /// Rows replaced before `older_than_ms` (ms since the epoch) with a uid greater than `after`, by uid, at most
    /// `limit`: those of retired users, and those of users who have another row that is in use. A user who has been taken
    /// off a node and has not come back since still has nothing but the row there, which stays, with the storage. Rows on
    /// a node that is down are left out, too: they stay until it is back.
    async fn replaced_rows(
        &self,
        older_than_ms: i64,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ReplacedRow>, Fault>;

    /// Removes a replaced row, whose storage is gone; a row that is in use stays. Whether there was one to remove. Its
    /// uid is never given to anyone again.
    async fn forget_row(&self, uid: UserId) -> Result<bool, Fault>;

    /// The number of accounts that are users, without the retired ones.
    async fn count_users(&self) -> Result<u64, Fault>;

    /// Asks the database for real whether it answers.
    async fn check(&self) -> Result<(), Fault>;

    /// How busy the connections are; never asks the database.
    fn pool_status(&self) -> PoolStatus;

    /// Makes sure that this database belongs to the server's master secret. See [`SecretClaim`].
    async fn claim_secret(
        &self,
        secret: &SecretFingerprint,
        previous: &[SecretFingerprint],
    ) -> Result<SecretClaim, Fault>;
}
