//! A user's account as the access token and `X-KeyID` describe it.

/// The most characters that an e-mail may have.
const MAX_EMAIL: usize = 255;

/// The most characters that a client state may have: 16 bytes in hex.
const MAX_CLIENT_STATE: usize = 32;

/// What a request says of its user's account.
///
/// Times of the account that are absent are `None`; some tokens say 0 for that, and [`Account::new`] sees to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    email: String,
    generation: Option<i64>,
    keys_changed_at: Option<i64>,
    client_state: String,
}

/// An account that no database could hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAccount {
    /// No e-mail, one that is too long, or one that holds U+0000.
    #[error("an account is known by <uid>@<domain>, at most 255 characters without U+0000")]
    Email,
    /// Too long, or not ASCII letters and digits.
    #[error("a client state is at most 32 hex digits")]
    ClientState,
}

impl Account {
    /// `email`: `<FxA uid>@<domain>`. `generation` and `keys_changed_at`: ms since the epoch, or whatever else the
    /// accounts service counts in; 0 (and less, which no account has) counts as absent. `client_state`: the digest
    /// of the user's key in lower-case hex, or nothing.
    pub fn new(
        email: impl Into<String>,
        generation: Option<i64>,
        keys_changed_at: Option<i64>,
        client_state: impl Into<String>,
    ) -> Result<Self, InvalidAccount> {
        let (email, client_state) = (email.into(), client_state.into());
        if email.is_empty() || email.chars().count() > MAX_EMAIL || email.contains('\0') {
            return Err(InvalidAccount::Email);
        }
        if client_state.len() > MAX_CLIENT_STATE || !client_state.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(InvalidAccount::ClientState);
        }
        Ok(Self { email, generation: present(generation), keys_changed_at: present(keys_changed_at), client_state })
    }

    /// `<FxA uid>@<domain>`: how the `users` table knows the user.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Grows whenever the account's sessions end: at a change of the password, say.
    #[must_use]
    pub const fn generation(&self) -> Option<i64> {
        self.generation
    }

    /// When the user's encryption key last changed.
    #[must_use]
    pub const fn keys_changed_at(&self) -> Option<i64> {
        self.keys_changed_at
    }

    /// A digest of the user's encryption key in hex; empty where the client does not tell.
    #[must_use]
    pub fn client_state(&self) -> &str {
        &self.client_state
    }
}

/// Whether a text has the form of an id at Mozilla's accounts server, in capital letters or not; tokens have it without.
#[must_use]
pub fn is_fxa_uid(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A time of an account, wherever it comes from, with 0 taken for absent.
pub(crate) fn present(time: Option<i64>) -> Option<i64> {
    time.filter(|time| *time > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_counts_as_absent() {
        let account = Account::new("a@b", Some(0), Some(0), "aa").unwrap();
        assert_eq!((account.generation(), account.keys_changed_at()), (None, None));
        let account = Account::new("a@b", Some(1), Some(2), "aa").unwrap();
        assert_eq!((account.generation(), account.keys_changed_at()), (Some(1), Some(2)));
    }

    #[test]
    fn an_account_fits_the_columns_that_hold_it() {
        let state = |state: &str| Account::new("a@b", None, None, state).err();
        let email = |email: &str| Account::new(email, None, None, "").err();
        assert_eq!((state(""), state(&"a".repeat(32))), (None, None));
        assert_eq!(state(&"a".repeat(33)), Some(InvalidAccount::ClientState));
        assert_eq!(state("ä"), Some(InvalidAccount::ClientState));
        assert_eq!((email("ü@b"), email(&"ü".repeat(255))), (None, None));
        assert_eq!(email(""), Some(InvalidAccount::Email));
        assert_eq!(email(&"ü".repeat(256)), Some(InvalidAccount::Email));
        assert_eq!(email("a\0@b"), Some(InvalidAccount::Email));
    }
}
