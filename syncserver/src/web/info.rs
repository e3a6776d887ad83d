//! `/info/…`: what there is, without the records.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use syncstorage_db_common::{CollectionName, Stamped, SyncTimestamp};

use super::error::ApiError;
use super::extract::User;
use super::headers::{X_LAST_MODIFIED, X_WEAVE_RECORDS, precondition};
use super::output::write_object;
use crate::state::AppState;

/// `GET /info/collections`
pub async fn collections(
    user: User,
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let collections = state.db.info_collections(user.0, precondition(&request)?).await?;
    Ok(by_collection(collections, |modified| modified))
}

/// `GET /info/collection_counts`
pub async fn counts(user: User, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let counts = state.db.info_collection_counts(user.0, precondition(&request)?).await?;
    Ok(by_collection(counts, |count| count))
}

/// `GET /info/collection_usage`
pub async fn usage(user: User, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let usage = state.db.info_collection_usage(user.0, precondition(&request)?).await?;
    Ok(by_collection(usage, kilobytes))
}

/// `GET /info/quota`
pub async fn quota(user: User, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let used = state.db.info_quota(user.0, precondition(&request)?).await?;
    let limit = state.quota.filter(|quota| quota.enforce).map(|quota| quota.limit as f64 / 1024.0);
    Ok(answer(used.last_modified).json(json!([used.value as f64 / 1024.0, limit])))
}

/// `GET /info/configuration`
pub async fn configuration(
    _: User,
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    // It has to be a valid one, but the limits have no time to compare it with.
    precondition(&request)?;
    let limits = &state.limits;
    Ok(answer(SyncTimestamp::ZERO).json(json!({
        "max_post_bytes": limits.sizes.max_post_bytes,
        "max_post_records": limits.max_post_records,
        "max_record_payload_bytes": limits.sizes.max_record_payload_bytes,
        "max_request_bytes": limits.sizes.max_request_bytes,
        "max_total_bytes": limits.max_total_bytes,
        "max_total_records": limits.max_total_records,
    })))
}

fn answer(last_modified: SyncTimestamp) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((X_LAST_MODIFIED, last_modified.to_string()));
    response
}

fn by_collection<T, V: std::fmt::Display>(
    list: Stamped<Vec<(CollectionName, T)>>,
    value: impl Fn(T) -> V,
) -> HttpResponse {
    let records = list.value.len();
    let members = list.value.into_iter().map(|(name, figure)| (name.as_str().to_owned(), value(figure)));
    answer(list.last_modified)
        .insert_header((X_WEAVE_RECORDS, records))
        .insert_header(ContentType::json())
        .body(write_object(members))
}

/// Bytes as the KB of the protocol, a JSON number.
fn kilobytes(bytes: u64) -> String {
    let kilobytes = bytes as f64 / 1024.0;
    // A whole number keeps its point, as a float has one.
    format!("{kilobytes:?}")
}
