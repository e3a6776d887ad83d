//! The users whose data is read and written.

use crate::client::Target;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testclient::Token;

/// Longer than any run.
const TOKEN_SECONDS: u64 = 24 * 3600;

/// A user, with a token that lasts.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) token: Token,
    /// The path of all that is the user's: `/1.5/<uid>`, after the server's prefix.
    pub(crate) root: String,
    written: Arc<AtomicU64>,
}

impl User {
    /// So many users, with uids that follow each other.
    pub(crate) fn make(secret: &str, target: &Target, first_uid: u64, count: u32) -> Vec<User> {
        (first_uid..).take(count as usize).map(|uid| User::one(secret, target, uid)).collect()
    }

    pub(crate) fn one(secret: &str, target: &Target, uid: u64) -> User {
        let token = Token::mint(secret, uid, testclient::now().as_secs() + TOKEN_SECONDS, &target.url());
        let root = format!("{}{}", target.prefix, token.path(""));
        User { token, root, written: Arc::default() }
    }

    /// The number of the first of `count` records to write: they go round, so that a user's data stays bounded, and
    /// new records are written as well as old ones.
    pub(crate) fn next_records(&self, count: u64, round: u64) -> u64 {
        self.written.fetch_add(count, Ordering::Relaxed) % round
    }
}
