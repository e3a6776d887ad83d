//! `/storage/{collection}/{id}`: one record.

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use syncstorage_db_common::CollectionRef;

use super::body;
use super::collection::{refuse_zero_iv, written};
use super::error::{ApiError, WeaveCode};
use super::extract::Record;
use super::headers::{X_LAST_MODIFIED, precondition};
use super::output::write_bso;
use super::parse::parse_put;
use crate::state::AppState;

/// `GET /storage/{collection}/{id}`
pub async fn get(at: Record, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let bso = state.db.get_bso(&at.0, precondition(&request)?).await?;
    let mut json = Vec::new();
    write_bso(&mut json, &bso);
    let modified = bso.modified.to_string();
    Ok(HttpResponse::Ok().insert_header((X_LAST_MODIFIED, modified)).insert_header(ContentType::json()).body(json))
}

/// `PUT /storage/{collection}/{id}`
pub async fn put(
    at: Record,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let condition = precondition(&request)?;
    let sizes = state.limits.of(&at.0.collection);
    body::format(&request)?;
    let body = body::read(&request, payload.into_inner(), sizes.max_request_bytes).await?;
    let change =
        parse_put(&body, at.0.id).map_err(|invalid| ApiError::bad_request(WeaveCode::InvalidBso, invalid.0))?;
    if change.payload_bytes() as u64 > sizes.max_record_payload_bytes {
        let limit = sizes.max_record_payload_bytes;
        return Err(ApiError::too_large(format!("the payload is larger than max_record_payload_bytes, {limit}")));
    }
    let at = CollectionRef { user: at.0.user, collection: at.0.collection };
    refuse_zero_iv(&at, std::slice::from_ref(&change))?;
    let done = state.db.put_bso(&at, change, condition).await?;
    Ok(written(&done).insert_header(ContentType::json()).body(done.modified.to_string()))
}

/// `DELETE /storage/{collection}/{id}`
pub async fn delete(at: Record, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let done = state.db.delete_bso(&at.0, precondition(&request)?).await?;
    Ok(written(&done).insert_header(ContentType::json()).body(format!("{{\"modified\":{}}}", done.modified)))
}
