//! The headers of the protocol, and the conditions and sizes that requests state in them.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{HeaderMap, HeaderName};
use syncstorage_db_common::{Precondition, TimeBound};

use super::error::{ApiError, WeaveCode};
use crate::settings::{Limits, SizeLimits};

/// When the resource was last modified.
pub const X_LAST_MODIFIED: HeaderName = HeaderName::from_static("x-last-modified");
/// The server's time, for a write its time T.
pub const X_WEAVE_TIMESTAMP: HeaderName = HeaderName::from_static("x-weave-timestamp");
/// How many items an answer holds; in a request, how many records are in the body.
pub const X_WEAVE_RECORDS: HeaderName = HeaderName::from_static("x-weave-records");
/// Where the next page begins.
pub const X_WEAVE_NEXT_OFFSET: HeaderName = HeaderName::from_static("x-weave-next-offset");
/// KB left of the quota.
pub const X_WEAVE_QUOTA_REMAINING: HeaderName = HeaderName::from_static("x-weave-quota-remaining");
/// Seconds for which a client is asked to stay away after its sync.
pub const X_WEAVE_BACKOFF: HeaderName = HeaderName::from_static("x-weave-backoff");
const X_WEAVE_BYTES: HeaderName = HeaderName::from_static("x-weave-bytes");
const X_WEAVE_TOTAL_RECORDS: HeaderName = HeaderName::from_static("x-weave-total-records");
const X_WEAVE_TOTAL_BYTES: HeaderName = HeaderName::from_static("x-weave-total-bytes");
const X_IF_MODIFIED_SINCE: HeaderName = HeaderName::from_static("x-if-modified-since");
const X_IF_UNMODIFIED_SINCE: HeaderName = HeaderName::from_static("x-if-unmodified-since");

/// The condition of a request. `X-If-Modified-Since` counts on reads alone.
pub fn precondition(request: &HttpRequest) -> Result<Precondition, ApiError> {
    let headers = request.headers();
    let modified = bound(headers, &X_IF_MODIFIED_SINCE)?;
    let unmodified = bound(headers, &X_IF_UNMODIFIED_SINCE)?;
    match (modified, unmodified) {
        (Some(_), Some(_)) => Err(ApiError::bad_request(
            WeaveCode::Unknown,
            "X-If-Modified-Since and X-If-Unmodified-Since exclude each other",
        )),
        (Some(since), None) if matches!(*request.method(), Method::GET | Method::HEAD) => {
            Ok(Precondition::ModifiedSince(since))
        }
        (None, Some(since)) => Ok(Precondition::UnmodifiedSince(since)),
        (_, None) => Ok(Precondition::None),
    }
}

fn bound(headers: &HeaderMap, name: &HeaderName) -> Result<Option<TimeBound>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let bound = value.to_str().ok().and_then(|text| text.parse().ok());
    bound.map(Some).ok_or_else(|| {
        ApiError::bad_request(WeaveCode::Unknown, format!("{name}: expected seconds such as 1388635807.41"))
    })
}

/// Checks the sizes that a POST announces, so that one too large is refused before its body is read. `sizes`: of the
/// collection; `in_batch`: whether the request has a `batch` parameter.
pub fn check_announced_sizes(
    headers: &HeaderMap,
    limits: &Limits,
    sizes: SizeLimits,
    in_batch: bool,
) -> Result<(), ApiError> {
    for (name, limit, total) in [
        (X_WEAVE_RECORDS, limits.max_post_records, false),
        (X_WEAVE_BYTES, sizes.max_post_bytes, false),
        (X_WEAVE_TOTAL_RECORDS, limits.max_total_records, true),
        (X_WEAVE_TOTAL_BYTES, limits.max_total_bytes, true),
    ] {
        let Some(value) = headers.get(&name) else { continue };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ApiError::bad_request(
                WeaveCode::Unknown,
                format!("{name}: expected a number, found {text:?}"),
            ));
        }
        if total && !in_batch {
            let why = format!("{name} goes with a batch parameter");
            return Err(ApiError::bad_request(WeaveCode::IllegalMethod, why));
        }
        // Only digits: what does not fit is larger than any limit.
        if text.parse::<u64>().unwrap_or(u64::MAX) > limit {
            let why = format!("{name} announces {text}, the limit is {limit}");
            return Err(ApiError::bad_request(WeaveCode::SizeLimitExceeded, why));
        }
    }
    Ok(())
}
