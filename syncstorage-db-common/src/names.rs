//! The names of things: users, collections, records, batches. Each is checked where it is made.

use std::fmt;
use std::str::FromStr;

/// A storage user: the `uid` of the path and of the token. Not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(i64);

impl UserId {
    /// The number, at most 63 bits.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

/// A name that the protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// See [`UserId`].
    #[error("a user id is a number of at most 63 bits")]
    UserId,
    /// See [`CollectionName`].
    #[error("a collection name is 1 to 32 characters of A-Z a-z 0-9 . _ -")]
    Collection,
    /// See [`BsoId`].
    #[error("a record id is 1 to 64 printable ASCII characters")]
    BsoId,
}

impl TryFrom<i64> for UserId {
    type Error = InvalidName;

    fn try_from(uid: i64) -> Result<Self, InvalidName> {
        if uid < 0 { Err(InvalidName::UserId) } else { Ok(Self(uid)) }
    }
}

impl FromStr for UserId {
    type Err = InvalidName;

    fn from_str(s: &str) -> Result<Self, InvalidName> {
        if s.bytes().all(|b| b.is_ascii_digit()) { s.parse().map(Self).ok() } else { None }.ok_or(InvalidName::UserId)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes a newtype of `String` with a rule, a way round the rule for what a database gave back, and `Display`.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $error:expr, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks the name.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                let rule: fn(&str) -> bool = $rule;
                if rule(&name) { Ok(Self(name)) } else { Err($error) }
            }

            /// Of a name that a database holds: it was checked when it came in, and is given back as it is.
            #[must_use]
            pub fn from_stored(name: String) -> Self {
                Self(name)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name! {
    /// The name of a collection: 1 to 32 of `[A-Za-z0-9._-]`.
    CollectionName, InvalidName::Collection, |name| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
}

checked_name! {
    /// The id of a record: 1 to 64 printable ASCII characters, space to tilde.
    BsoId, InvalidName::BsoId, |id| (1..=64).contains(&id.len()) && id.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// The id of an open batch: opaque, made by the backend. One that a client made up is simply not found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub String);

/// One collection of one user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CollectionRef {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub collection: CollectionName,
}

/// One record in one collection of one user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BsoRef {
    /// Whose.
    pub user: UserId,
    /// In which collection.
    pub collection: CollectionName,
    /// Which.
    pub id: BsoId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_names_keep_to_the_rule() {
        for good in ["a", "bookmarks", "extension-storage", "A.b_c-9", &"x".repeat(32)] {
            assert!(CollectionName::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a b", "a/b", "ü", "a\n", "*", &"x".repeat(33)] {
            assert_eq!(CollectionName::new(bad), Err(InvalidName::Collection), "{bad:?}");
        }
    }

    #[test]
    fn record_ids_keep_to_the_rule() {
        for good in [" ", "~", "{a-b}", "a+b/c=", "with space", "%41", &"x".repeat(64)] {
            assert!(BsoId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "a\n", "\t", "\u{7f}", "ü", &"x".repeat(65)] {
            assert_eq!(BsoId::new(bad), Err(InvalidName::BsoId), "{bad:?}");
        }
    }

    #[test]
    fn user_ids_are_numbers_of_63_bits() {
        assert_eq!("0012".parse::<UserId>().unwrap().get(), 12);
        assert_eq!("9223372036854775807".parse::<UserId>().unwrap().get(), i64::MAX);
        for bad in ["", "-1", "+1", "1x", "9223372036854775808", "١"] {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidName::UserId), "{bad:?}");
        }
        assert_eq!(UserId::try_from(-1), Err(InvalidName::UserId));
    }
}
