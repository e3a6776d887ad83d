//! The errors of storage, in their tiers.

use crate::SyncTimestamp;

/// Any error, as a source.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The result of a storage operation.
pub type DbResult<T> = Result<T, DbError>;

/// How a storage operation can end otherwise than well.
///
/// The variants fall into three tiers:
/// - answers of the protocol ([`Self::NotModified`] to [`Self::OverQuota`]): expected, never logged as faults;
/// - [`Fault::Unavailable`]: a transient fault; the client is to come back, and nothing was written;
/// - [`Fault::Internal`] and [`Self::Output`]: a fault of the machine or of the program, for the operator.
///
/// No variant knows an HTTP status; the web layer maps them in one place.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// `X-If-Modified-Since` does not hold; the resource was last modified then.
    #[error("not modified since {0}")]
    NotModified(SyncTimestamp),
    /// `X-If-Unmodified-Since` does not hold; the resource was last modified then.
    #[error("modified at {0}")]
    PreconditionFailed(SyncTimestamp),
    /// There certainly is no such record.
    #[error("no such record")]
    NotFound,
    /// No open batch of this user and collection has that id.
    #[error("no such batch")]
    BatchNotFound,
    /// The batch would hold more than [`BatchLimits`](crate::BatchLimits) allow.
    #[error("the batch would hold too much")]
    BatchTooLarge,
    /// The write would pass the enforced quota.
    #[error("over quota")]
    OverQuota,
    /// The receiver of the records failed.
    #[error("the answer could not be put together")]
    Output(#[source] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A failure of a database, of whatever kind.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot do it now: it is down, busy, full or shutting down. Nothing was written.
    #[error("the database is not available")]
    Unavailable(#[source] BoxedError),
    /// Anything unforeseen.
    #[error("the database failed")]
    Internal(#[source] BoxedError),
}

impl Fault {
    /// A transient fault, told by a message or an error.
    pub fn unavailable(why: impl Into<BoxedError>) -> Self {
        Self::Unavailable(why.into())
    }

    /// An unforeseen fault, told by a message or an error.
    pub fn internal(why: impl Into<BoxedError>) -> Self {
        Self::Internal(why.into())
    }

    /// What happened, without what it means: the source's own words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Unavailable(source) | Self::Internal(source) => source.to_string(),
        }
    }
}
