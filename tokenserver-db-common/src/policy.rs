//! What the operator has set for sign-ins.

use std::collections::HashSet;

/// Who may become a user. Those who are users already sign in whatever it says. Whom the operator has
/// [denied](crate::Verdict::Denied) may neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// Nobody.
    Closed,
    /// Accounts that the operator has [allowed](crate::Verdict::Allowed), and those with these e-mails, written as the
    /// `users` table has them: `<FxA uid>@<domain>`.
    AllowList(HashSet<String>),
}

/// The settings that a sign-in obeys.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Who may become a user.
    pub registration: Registration,
    /// No new users once there are so many; `None`: any number.
    pub max_users: Option<u64>,
    /// The part of its capacity that a node releases when no node has places left, 0 to 1.
    pub node_capacity_release_rate: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { registration: Registration::Open, max_users: None, node_capacity_release_rate: 0.1 }
    }
}
