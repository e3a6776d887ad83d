//! How a sign-in can end otherwise than well.
//!
//! Three tiers:
//! - [`Refusal`]: an answer of the protocol, expected; the user or the client has to do something, and the message is
//!   for the operator's log;
//! - [`TokenError::NoNode`], [`TokenError::RetiredWithoutNode`]: the tables are in a state that the operator has to
//!   mend;
//! - [`Fault`]: the database failed.
//!
//! No variant knows an HTTP status; the web layer maps them in one place. What does not involve the rules can only end
//! in a [`Fault`].

use syncstorage_db_common::Fault;

/// Why a user is not let in: each a rule of the protocol. The message says what went wrong, for the operator's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Rule 1: the account is unknown and registration is closed.
    #[error("the account is not a user of this server, and registration is closed")]
    RegistrationClosed,
    /// Rule 1: the account is unknown and not on the allow list.
    #[error("the account is not a user of this server, and not on the allow list of those who may become one")]
    NotOnAllowList,
    /// Rule 1: the account is unknown and there are as many users as there may be.
    #[error("the account is not a user of this server, which has as many users as it may have ({max_users})")]
    UserLimit {
        /// The setting.
        max_users: u64,
    },
    /// The operator has denied the account, which may be a user or not.
    #[error("the operator has denied this account")]
    Denied,
    /// Rule 2: the key has changed at a time that the generation has not reached.
    #[error("keys_changed_at {sent} is greater than the stored {stored} and than the token's generation {generation}")]
    KeysAheadOfGeneration {
        /// The request's `keys_changed_at`.
        sent: i64,
        /// The stored `keys_changed_at`.
        stored: i64,
        /// The request's generation.
        generation: i64,
    },
    /// Rule 3: a client state is stored, and the request's is empty.
    #[error("the request has no client state (key digest), and the user has had one before")]
    EmptyClientState,
    /// Rule 4: the client state is that of an older row.
    #[error("the client state (key digest) is one that the user has replaced: the client has an old key")]
    StaleClientState,
    /// Rule 5: another client state, and the generation has not grown.
    #[error("the client state (key digest) is new, but the generation {sent} is not greater than the stored {stored}")]
    ClientStateWithoutGeneration {
        /// The request's generation.
        sent: i64,
        /// The stored generation.
        stored: i64,
    },
    /// Rule 6: another client state, and `keys_changed_at` has not grown.
    #[error("the client state (key digest) is new, but keys_changed_at {sent} is not greater than the stored {stored}")]
    ClientStateWithoutKeysChange {
        /// The request's `keys_changed_at`.
        sent: i64,
        /// The stored `keys_changed_at`.
        stored: i64,
    },
    /// Rule 7: the generation is less than the stored one.
    #[error(
        "the generation {sent} is less than the stored {stored}: the token is older than a change of the password; \
         signing in again on that device makes a new one"
    )]
    OldGeneration {
        /// The request's generation.
        sent: i64,
        /// The stored generation.
        stored: i64,
    },
    /// Rule 7, of an account that is gone.
    #[error("the account has been deleted (its user is retired)")]
    Retired,
    /// Rule 8: `keys_changed_at` is less than the stored one.
    #[error("keys_changed_at {sent} is less than the stored {stored}: the client has an old key")]
    OldKeys {
        /// The request's `keys_changed_at`.
        sent: i64,
        /// The stored `keys_changed_at`.
        stored: i64,
    },
    /// Rule 9: the request has no `keys_changed_at`, and one is stored.
    #[error("the request has no keys_changed_at, and the user has had one before ({stored})")]
    NoKeysChangedAt {
        /// The stored `keys_changed_at`.
        stored: i64,
    },
}

/// How a sign-in can end otherwise than well.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The rules refuse. Nothing was written but the `replaced_at` of rows that had been replaced before.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No node can take the user. Nothing was written.
    #[error(
        "no node has room for a user: every row of the table nodes has downed or backoff set, or current_load at its \
         capacity. Add a node, raise a capacity (SYNC_TOKENSERVER__INIT_NODE_CAPACITY counts only when the row is \
         made), or mend the rows"
    )]
    NoNode,
    /// The user is retired, and on a node that is gone, so that there is nothing to answer. Nothing was written but
    /// the `replaced_at` of rows that had been replaced before.
    #[error("the user is retired, and the table nodes has no row for its nodeid")]
    RetiredWithoutNode,
    /// The database failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}
