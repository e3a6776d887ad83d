//! A record as it is read, and a change to one as it is written.

use crate::{BsoId, SyncTimestamp};

/// The payload of a record that was written without one.
pub const NO_PAYLOAD: &str = "";

/// A BSO (basic storage object) as a client gets it. Its `ttl` is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bso {
    /// Unique in its collection.
    pub id: BsoId,
    /// When it was last written.
    pub modified: SyncTimestamp,
    /// The client's hint of importance, -999999999 to 999999999.
    pub sortindex: Option<i32>,
    /// Opaque text, any Unicode but U+0000.
    pub payload: String,
}

/// What a write says of one field of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Patch<T> {
    /// Nothing: the field stays as it is, or gets its default in a new record.
    #[default]
    Keep,
    /// `null`: the field gets its default.
    Reset,
    /// A value.
    Set(T),
}

impl<T> Patch<T> {
    /// Whether the write says nothing of the field.
    #[must_use]
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value after the write, given the one before it; `None` is the default.
    pub fn apply(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Reset => None,
            Self::Set(value) => Some(value),
        }
    }

    /// This patch with a later one on top of it.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        if later.is_keep() { self } else { later }
    }

    /// The same patch with its value borrowed.
    pub const fn as_ref(&self) -> Patch<&T> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Reset => Patch::Reset,
            Self::Set(value) => Patch::Set(value),
        }
    }
}

/// A valid write to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BsoChange {
    /// Which record.
    pub id: BsoId,
    /// -999999999 to 999999999; the default is none.
    pub sortindex: Patch<i32>,
    /// Any Unicode but U+0000; the default is [`NO_PAYLOAD`].
    pub payload: Patch<String>,
    /// Seconds until the record expires, 0 to 999999999; the default is never.
    pub ttl: Patch<u32>,
}

impl BsoChange {
    /// A change that says nothing yet.
    #[must_use]
    pub const fn new(id: BsoId) -> Self {
        Self { id, sortindex: Patch::Keep, payload: Patch::Keep, ttl: Patch::Keep }
    }

    /// Whether a PUT or a plain POST of this moves the `modified` of a record that exists. A change of the ttl
    /// alone does not. (A batch commit moves it always.)
    #[must_use]
    pub const fn moves_modified(&self) -> bool {
        !(self.payload.is_keep() && self.sortindex.is_keep())
    }

    /// Bytes of payload that this change carries.
    #[must_use]
    pub const fn payload_bytes(&self) -> usize {
        match &self.payload {
            Patch::Set(payload) => payload.len(),
            Patch::Keep | Patch::Reset => 0,
        }
    }

    /// This change with a later one of the same record on top of it, field by field.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            id: self.id,
            sortindex: self.sortindex.then(later.sortindex),
            payload: self.payload.then(later.payload),
            ttl: self.ttl.then(later.ttl),
        }
    }
}

/// When a record written at `written` with this `ttl` (seconds) expires, in ms since the epoch: it is absent from
/// that millisecond on. A write time that runs ahead of the clock does not prolong a life, so `now_ms` counts
/// where it is less.
#[must_use]
pub fn expiry(written: SyncTimestamp, now_ms: i64, ttl: u32) -> i64 {
    written.as_ms().min(now_ms) + i64::from(ttl) * 1000
}
