//! Which records a read selects, and under which condition a request is carried out.

use crate::{BsoId, DbError, DbResult, SyncTimestamp, TimeBound};

/// The order of a list of records. Ties are broken by id, in the direction that the order itself has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// `modified` descending, then id descending.
    Newest,
    /// `modified` ascending, then id ascending. Also the order where the client names none: a record that is
    /// written between two pages moves to the end of it and is seen, not skipped.
    #[default]
    Oldest,
    /// `sortindex` descending with none last, then id descending.
    Index,
}

/// The last record of a page: the next page begins right after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cursor {
    /// In the orders by time.
    Modified(SyncTimestamp, BsoId),
    /// In the order by sortindex.
    Index(Option<i32>, BsoId),
}

/// A read of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BsoQuery {
    /// Only these records; an empty list selects nothing.
    pub ids: Option<Vec<BsoId>>,
    /// Only records modified after this.
    pub newer: Option<TimeBound>,
    /// Only records modified before this.
    pub older: Option<TimeBound>,
    /// The order.
    pub sort: Sort,
    /// At most so many records. 0: none, and no next page.
    pub limit: Option<u64>,
    /// Only what comes after this in the order. Its kind fits `sort`: see [`Cursor::fits`].
    pub after: Option<Cursor>,
}

impl Cursor {
    /// Whether this is a place in the order `sort`.
    #[must_use]
    pub const fn fits(&self, sort: Sort) -> bool {
        matches!((self, sort), (Self::Modified(..), Sort::Newest | Sort::Oldest) | (Self::Index(..), Sort::Index))
    }

    /// The place of a record in the order `sort`.
    #[must_use]
    pub fn of(sort: Sort, id: &BsoId, modified: SyncTimestamp, sortindex: Option<i32>) -> Self {
        match sort {
            Sort::Newest | Sort::Oldest => Self::Modified(modified, id.clone()),
            Sort::Index => Self::Index(sortindex, id.clone()),
        }
    }
}

/// The condition of a request (`X-If-Modified-Since`, `X-If-Unmodified-Since`), checked inside the transaction that
/// carries the request out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// None.
    #[default]
    None,
    /// Answer only if the resource was modified after this.
    ModifiedSince(TimeBound),
    /// Carry out only if the resource was not modified after this.
    UnmodifiedSince(TimeBound),
}

impl Precondition {
    /// Compares with the last-modified time of the resource; what does not hold is
    /// [`DbError::NotModified`] or [`DbError::PreconditionFailed`].
    pub fn check(&self, last_modified: SyncTimestamp) -> DbResult<()> {
        match self {
            Self::ModifiedSince(bound) if last_modified.as_ms() <= bound.floor_ms() => {
                Err(DbError::NotModified(last_modified))
            }
            Self::UnmodifiedSince(bound) if last_modified.as_ms() > bound.floor_ms() => {
                Err(DbError::PreconditionFailed(last_modified))
            }
            Self::None | Self::ModifiedSince(_) | Self::UnmodifiedSince(_) => Ok(()),
        }
    }
}
