//! How a request of the storage API can end otherwise than well.
//!
//! The tiers: what the protocol foresees (not modified, precondition failed, absent) is an answer and not logged; a
//! request that is refused is logged with the reason and what to do about it, and the client is told the number that
//! the protocol has for it; a fault of ours is logged with its cause, and the client is told to come back or nothing.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, ContentType, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use syncstorage_db_common::{DbError, Fault};

use super::hawk::HawkRefusal;
use super::headers::X_LAST_MODIFIED;
use crate::causes::chain;

/// The numbers that the protocol has for errors, as they stand in the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeaveCode {
    /// Anything else.
    Unknown = 0,
    /// Illegal method or protocol.
    IllegalMethod = 1,
    /// Invalid BSO, or a body that is no JSON of the expected shape.
    InvalidBso = 8,
    /// Invalid collection name.
    InvalidCollection = 13,
    /// Over quota.
    OverQuota = 14,
    /// A limit was passed.
    SizeLimitExceeded = 17,
}

/// The seconds after which a client is to come back when the server cannot do it now.
pub const RETRY_AFTER_SECONDS: usize = 30;

/// See the [module documentation](self).
#[derive(Debug)]
pub enum ApiError {
    /// The request is refused; the text is for the log.
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The body of the answer.
        code: WeaveCode,
        /// Why, and what to do about it.
        why: String,
    },
    /// 405.
    MethodNotAllowed {
        /// The methods that the path does take.
        allow: &'static str,
    },
    /// 401, which never says why.
    Unauthorized {
        /// Why, for metrics.
        reason: HawkRefusal,
        /// Why, and what to do about it, for the log.
        why: String,
    },
    /// 401 for a token that was good until its time, as every token is one day.
    ExpiredToken,
    /// The database's answer.
    Db(DbError),
    /// A fault of ours outside the database.
    Internal(String),
}

impl ApiError {
    fn refused(status: StatusCode, code: WeaveCode, why: impl Into<String>) -> Self {
        Self::Refused { status, code, why: why.into() }
    }

    /// 400 with a number.
    pub fn bad_request(code: WeaveCode, why: impl Into<String>) -> Self {
        Self::refused(StatusCode::BAD_REQUEST, code, why)
    }

    /// 401, which never says why.
    pub fn unauthorized<W: Into<String>>(reason: HawkRefusal, why: W) -> Self {
        Self::Unauthorized { reason, why: why.into() }
    }

    /// Why it was not signed as it should be, where that is why it is refused.
    #[must_use]
    pub fn hawk_refusal(&self) -> Option<HawkRefusal> {
        match self {
            Self::Unauthorized { reason, .. } => Some(*reason),
            Self::ExpiredToken => Some(HawkRefusal::Expired),
            Self::Refused { .. } | Self::MethodNotAllowed { .. } | Self::Db(_) | Self::Internal(_) => None,
        }
    }

    /// 404 for a path that is not there.
    pub fn no_such_path() -> Self {
        Self::refused(StatusCode::NOT_FOUND, WeaveCode::Unknown, "there is no such path")
    }

    /// 503 for the storage API of a process that does not serve it.
    pub fn storage_is_off() -> Self {
        let why = "a client asks for its storage here, and syncstorage.enabled is false: the proxy, public_url or the \
                   table nodes sends it to the wrong server";
        Self::refused(StatusCode::SERVICE_UNAVAILABLE, WeaveCode::Unknown, why)
    }

    /// 406.
    pub fn not_acceptable() -> Self {
        let why = "Accept allows neither application/json nor application/newlines";
        Self::refused(StatusCode::NOT_ACCEPTABLE, WeaveCode::Unknown, why)
    }

    /// 413.
    pub fn too_large(why: impl Into<String>) -> Self {
        Self::refused(StatusCode::PAYLOAD_TOO_LARGE, WeaveCode::SizeLimitExceeded, why)
    }

    /// 415.
    pub fn unsupported_media_type(found: &str) -> Self {
        let why = format!("expected application/json, text/plain or application/newlines, found {found:?}");
        Self::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, WeaveCode::Unknown, why)
    }

    /// The number in the body of the answer.
    #[must_use]
    pub fn code(&self) -> WeaveCode {
        match self {
            Self::Refused { code, .. } => *code,
            Self::MethodNotAllowed { .. } => WeaveCode::IllegalMethod,
            Self::Db(DbError::OverQuota) => WeaveCode::OverQuota,
            Self::Db(DbError::BatchTooLarge) => WeaveCode::SizeLimitExceeded,
            Self::Unauthorized { .. } | Self::ExpiredToken | Self::Db(_) | Self::Internal(_) => WeaveCode::Unknown,
        }
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl fmt::Display for ApiError {
    /// For the log: the whole chain of causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { why, .. } | Self::Unauthorized { why, .. } | Self::Internal(why) => f.write_str(why),
            Self::MethodNotAllowed { .. } => f.write_str("the path does not take this method"),
            Self::ExpiredToken => f.write_str("the token has expired; the client will get a new one"),
            Self::Db(error) => f.write_str(&chain(error)),
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } => *status,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized { .. } | Self::ExpiredToken => StatusCode::UNAUTHORIZED,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Db(error) => match error {
                DbError::NotModified(_) => StatusCode::NOT_MODIFIED,
                DbError::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
                DbError::NotFound => StatusCode::NOT_FOUND,
                DbError::BatchNotFound | DbError::BatchTooLarge => StatusCode::BAD_REQUEST,
                DbError::OverQuota => StatusCode::FORBIDDEN,
                // A full disk, say: nothing has been sent, and the client may come back.
                DbError::Output(_) | DbError::Fault(Fault::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
                DbError::Fault(Fault::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        match status {
            StatusCode::UNAUTHORIZED => {
                response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Hawk")));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        if let Self::Db(DbError::NotModified(time) | DbError::PreconditionFailed(time)) = self {
            response.insert_header((X_LAST_MODIFIED, time.to_string()));
        }
        if let Self::MethodNotAllowed { allow } = self {
            response.insert_header((ALLOW, *allow));
        }
        if status == StatusCode::NOT_MODIFIED {
            return response.finish();
        }
        response.insert_header(ContentType::json()).body((self.code() as u8).to_string())
    }
}
