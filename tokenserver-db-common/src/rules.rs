//! The rules by which a user is let in: a pure function from what the tables say of the account, and what the request
//! says of it, to a [`Plan`] that the backend carries out.
//!
//! They guard a user's devices against each other. A device that has missed a change of the password, or a reset of the
//! encryption key, must not get at the storage, let alone take it back to the old key; so `generation` and
//! `keys_changed_at` only ever grow, and a new key (told by its digest, the client state) gets storage of its own.

use syncstorage_db_common::UserId;

use crate::account::present;
use crate::{
    Account, Node, PUBLIC_URL_NODE_ID, Policy, RETIRED, Refusal, Registration, SignIn, SignedIn, TokenError, UserRow,
    Verdict,
};

#[cfg(test)]
mod tests;

/// What the tables say, all of it from one state of the database.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The account's rows, in any order.
    pub rows: &'a [UserRow],
    /// What the operator has said of the account.
    pub verdict: Option<Verdict>,
    /// Whether the service has any node, in whatever state. While it has none, every user is on the public URL.
    pub has_nodes: bool,
    /// The number of users, as [`TokenDb::count_users`](crate::TokenDb::count_users) counts them. Looked at only where
    /// [`counts_users`] says so.
    pub users: u64,
}

/// What a sign-in comes to. Both parts are carried out in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rows that are no longer in use and do not say so yet. To be written whatever the outcome.
    pub replaced: Vec<Replaced>,
    /// The answer, and what it takes.
    pub outcome: Outcome,
}

/// A row that gets its `replaced_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Which.
    pub uid: UserId,
    /// Ms since the epoch.
    pub at: i64,
}

/// See [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Let in; the current row is as it should be.
    Accept(SignedIn),
    /// Let in; the current row (its uid is in the answer) gets the `generation` of the answer, and its
    /// `keys_changed_at` where there is one: a null stays null.
    Update(SignedIn),
    /// Let in, with a new row, whose uid the database gives.
    Insert(NewRow),
    /// Refused.
    Refuse(Refusal),
    /// [`TokenError::RetiredWithoutNode`].
    RetiredWithoutNode,
}

/// A row for `users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// 0 where none is known.
    pub generation: i64,
    /// The digest of the encryption key in hex; may be empty.
    pub client_state: String,
    /// Ms since the epoch.
    pub created_at: i64,
    /// As it is to be stored: null where none is known, 0 only where an older row has 0.
    pub keys_changed_at: Option<i64>,
    /// On which node.
    pub place: Place,
    /// Whether the account was unknown until now.
    pub created: bool,
}

/// Where the storage of a new row will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// There.
    At {
        /// For the column.
        nodeid: i64,
        /// For the answer.
        node: Node,
    },
    /// On the node that [`allocate`](crate::nodes::allocate) finds.
    Allocate,
}

impl Plan {
    /// The answer, if nothing is to be written.
    #[must_use]
    pub fn settled(&self) -> Option<Result<SignedIn, TokenError>> {
        if !self.replaced.is_empty() {
            return None;
        }
        match &self.outcome {
            Outcome::Accept(answer) => Some(Ok(answer.clone())),
            Outcome::Refuse(refusal) => Some(Err((*refusal).into())),
            Outcome::RetiredWithoutNode => Some(Err(TokenError::RetiredWithoutNode)),
            Outcome::Update(_) | Outcome::Insert(_) => None,
        }
    }
}

impl NewRow {
    /// The answer to the user, once the row has its uid and its node.
    #[must_use]
    pub fn signed_in(self, uid: UserId, node: Node) -> SignedIn {
        SignedIn {
            uid,
            generation: self.generation,
            keys_changed_at: present(self.keys_changed_at),
            client_state: self.client_state,
            node,
            created: self.created,
        }
    }
}

/// Whether [`plan`] needs to know the number of users, which costs a look at all of them.
#[must_use]
pub const fn counts_users(rows: &[UserRow], policy: &Policy) -> bool {
    rows.is_empty() && policy.max_users.is_some()
}

/// Decides. The rules have the numbers that the protocol reference gives them (section 8). Before them all comes the
/// operator's word: an account that is denied is refused, and nothing is written.
#[must_use]
pub fn plan(request: &SignIn, facts: &Facts<'_>) -> Plan {
    if facts.verdict == Some(Verdict::Denied) {
        return Plan { replaced: Vec::new(), outcome: Outcome::Refuse(Refusal::Denied) };
    }
    let Some(current) = facts.rows.iter().max_by_key(|row| row.rank()) else {
        let outcome = match admit(&request.account, &request.policy, facts) {
            Ok(()) => Outcome::Insert(first_row(request, facts)),
            Err(refusal) => Outcome::Refuse(refusal),
        };
        return Plan { replaced: Vec::new(), outcome };
    };
    let older = || facts.rows.iter().filter(|row| row.uid != current.uid);
    let mut replaced: Vec<Replaced> = older()
        .filter(|row| row.replaced_at.is_none())
        .map(|row| Replaced { uid: row.uid, at: current.created_at })
        .collect();
    let outcome = match check(&request.account, current, older()) {
        Err(refusal) => Outcome::Refuse(refusal),
        Ok(()) => known(request, facts, current),
    };
    if let Outcome::Insert(row) = &outcome
        && current.replaced_at.is_none()
    {
        replaced.push(Replaced { uid: current.uid, at: row.created_at });
    }
    Plan { replaced, outcome }
}

/// Rule 1: may an unknown account become a user?
fn admit(account: &Account, policy: &Policy, facts: &Facts<'_>) -> Result<(), Refusal> {
    match &policy.registration {
        // For everybody: an operator who closes the door does not mean to leave it open for some.
        Registration::Closed => return Err(Refusal::RegistrationClosed),
        Registration::AllowList(emails)
            if facts.verdict != Some(Verdict::Allowed) && !emails.contains(account.email()) =>
        {
            return Err(Refusal::NotOnAllowList);
        }
        Registration::AllowList(_) | Registration::Open => {}
    }
    match policy.max_users {
        Some(max_users) if facts.users >= max_users => Err(Refusal::UserLimit { max_users }),
        _ => Ok(()),
    }
}

/// The first row of a new user. It says what the request says: with no generation there, none is stored.
fn first_row(request: &SignIn, facts: &Facts<'_>) -> NewRow {
    NewRow {
        generation: request.account.generation().unwrap_or(0),
        client_state: request.account.client_state().to_owned(),
        created_at: request.now_ms,
        keys_changed_at: request.account.keys_changed_at(),
        place: new_place(facts),
        created: true,
    }
}

/// Rules 2 to 9, in order. A comparison with a value that is absent on either side is false.
fn check<'a>(
    account: &Account,
    current: &UserRow,
    mut older: impl Iterator<Item = &'a UserRow>,
) -> Result<(), Refusal> {
    let generation = both(account.generation(), current.generation.into());
    let keys = both(account.keys_changed_at(), current.keys_changed_at);
    let new_key = account.client_state() != current.client_state;
    // 2
    if let (Some((sent, stored)), Some(generation)) = (keys, account.generation())
        && sent > stored
        && generation < sent
    {
        return Err(Refusal::KeysAheadOfGeneration { sent, stored, generation });
    }
    // 3
    if !current.client_state.is_empty() && account.client_state().is_empty() {
        return Err(Refusal::EmptyClientState);
    }
    // 4
    if new_key && older.any(|row| row.client_state == account.client_state()) {
        return Err(Refusal::StaleClientState);
    }
    // 5
    if let Some((sent, stored)) = generation
        && new_key
        && sent <= stored
    {
        return Err(Refusal::ClientStateWithoutGeneration { sent, stored });
    }
    // 6
    if let Some((sent, stored)) = keys
        && new_key
        && sent <= stored
    {
        return Err(Refusal::ClientStateWithoutKeysChange { sent, stored });
    }
    // 7. The account of a retired user is gone, but a token without a generation may outlive it: here the absent value
    // does not save the request.
    if current.is_retired() && account.generation() != Some(RETIRED) {
        return Err(Refusal::Retired);
    }
    if let Some((sent, stored)) = generation
        && stored > sent
    {
        return Err(Refusal::OldGeneration { sent, stored });
    }
    // 8
    if let Some((sent, stored)) = keys
        && stored > sent
    {
        return Err(Refusal::OldKeys { sent, stored });
    }
    // 9
    if let (None, Some(stored)) = (account.keys_changed_at(), present(current.keys_changed_at)) {
        return Err(Refusal::NoKeysChangedAt { stored });
    }
    Ok(())
}

/// What becomes of a user whom the rules let in.
fn known(request: &SignIn, facts: &Facts<'_>, current: &UserRow) -> Outcome {
    let account = &request.account;
    let home = current.home(facts.has_nodes);
    let new_key = account.client_state() != current.client_state;
    // A retired user keeps the row, replaced or not.
    let in_use = current.is_retired() || current.replaced_at.is_none();
    let generation = new_generation(account, current);
    let place = match home {
        None if current.is_retired() => return Outcome::RetiredWithoutNode,
        Some(node) if in_use && !new_key => {
            let answer = SignedIn {
                uid: current.uid,
                generation,
                keys_changed_at: account.keys_changed_at().or(present(current.keys_changed_at)),
                client_state: current.client_state.clone(),
                node,
                created: false,
            };
            let changed = generation != current.generation
                || account.keys_changed_at().is_some() && account.keys_changed_at() != current.keys_changed_at;
            return if changed { Outcome::Update(answer) } else { Outcome::Accept(answer) };
        }
        // A new key stays on its node, so that a reset does not use up a place.
        Some(node) if in_use => Place::At { nodeid: current.nodeid, node },
        _ => new_place(facts),
    };
    Outcome::Insert(NewRow {
        generation,
        client_state: account.client_state().to_owned(),
        // No earlier than the row that it replaces, whatever the clock says: it must be the current one from now on.
        created_at: request.now_ms.max(current.created_at),
        keys_changed_at: account.keys_changed_at().or(current.keys_changed_at),
        place,
        created: false,
    })
}

/// The generation after a request that the rules let in: never less than the stored one. A token without one tells of
/// a change by `keys_changed_at`, if that is greater than anything stored.
fn new_generation(account: &Account, current: &UserRow) -> i64 {
    let stored_keys = current.keys_changed_at.unwrap_or(0);
    match (account.generation(), account.keys_changed_at()) {
        (Some(sent), _) => sent.max(current.generation),
        (None, Some(keys)) if keys > stored_keys => keys.max(current.generation),
        (None, _) => current.generation,
    }
}

/// Where a user without a place goes.
const fn new_place(facts: &Facts<'_>) -> Place {
    if facts.has_nodes { Place::Allocate } else { Place::At { nodeid: PUBLIC_URL_NODE_ID, node: Node::PublicUrl } }
}

/// The sent and the stored value, if both are there.
fn both(sent: Option<i64>, stored: Option<i64>) -> Option<(i64, i64)> {
    sent.zip(present(stored))
}
