//! `/storage/{collection}`: the records of a collection, `/storage`: all of them.

use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, ContentType};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use syncstorage_db_common::{
    BatchId, BsoChange, BsoId, CollectionRef, DbError, Deletion, Patch, SyncTimestamp, Written,
};

use super::body;
use super::error::{ApiError, WeaveCode};
use super::extract::{Collection, User, list_format};
use super::headers::{
    X_LAST_MODIFIED, X_WEAVE_NEXT_OFFSET, X_WEAVE_QUOTA_REMAINING, X_WEAVE_RECORDS, X_WEAVE_TIMESTAMP,
    check_announced_sizes, precondition,
};
use super::output::{ListWriter, write_display, write_object, write_string};
use super::parse::{PostLimits, PostedBsos, has_zero_iv, parse_post};
use super::query::{ListRequest, Parameters, PostMode};
use crate::state::AppState;

/// `GET /storage/{collection}`
pub async fn get(at: Collection, request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiError> {
    let condition = precondition(&request)?;
    let list = ListRequest::parse(&Parameters::parse(request.query_string())?, &at.0.collection)?;
    let format = list_format(&request)?;
    let mut items = ListWriter::new(format).in_folder(state.spool_folder.as_deref());
    if request.method() == Method::HEAD {
        items = items.without_body();
    }
    let page = loop {
        let read = if list.full {
            state.db.get_bsos(&at.0, &list.query, condition, &mut items).await
        } else {
            state.db.get_bso_ids(&at.0, &list.query, condition, &mut items).await
        };
        match read {
            Err(DbError::Output(_)) if items.lacks_place() => items.wait_for_place().await,
            read => break read?,
        }
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((X_LAST_MODIFIED, page.last_modified.to_string()))
        .insert_header((X_WEAVE_RECORDS, items.count()))
        .insert_header((CONTENT_TYPE, format.content_type()));
    if let Some(next) = page.value {
        response.insert_header((X_WEAVE_NEXT_OFFSET, list.offset(&next)));
    }
    let body = items.into_body().map_err(DbError::Output)?;
    Ok(response.body(body))
}

/// `POST /storage/{collection}`
pub async fn post(
    at: Collection,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let condition = precondition(&request)?;
    let parameters = Parameters::parse(request.query_string())?;
    let mode = PostMode::parse(&parameters)?;
    let sizes = state.limits.of(&at.0.collection);
    let in_batch = parameters.get("batch")?.is_some();
    check_announced_sizes(request.headers(), &state.limits, sizes, in_batch)?;
    let format = body::format(&request)?;
    let body = body::read(&request, payload.into_inner(), sizes.max_request_bytes).await?;
    let post_limits = PostLimits {
        records: state.limits.max_post_records,
        bytes: sizes.max_post_bytes,
        record_bytes: sizes.max_record_payload_bytes,
    };
    let PostedBsos { changes, failed } = parse_post(&body, format, post_limits)
        .map_err(|invalid| ApiError::bad_request(WeaveCode::InvalidBso, invalid.0))?;
    drop(body);
    refuse_zero_iv(&at.0, &changes)?;
    let outcome = Outcome { success: changes.iter().map(|change| change.id.clone()).collect(), failed };

    Ok(match mode {
        PostMode::Plain => outcome.written(&state.db.post_bsos(&at.0, changes, condition).await?),
        PostMode::Commit(batch) => outcome.written(&state.db.commit_batch(&at.0, &batch, changes, condition).await?),
        PostMode::Create => {
            let opened = state.db.create_batch(&at.0, changes, condition).await?;
            outcome.staged(&opened.value, opened.last_modified)
        }
        PostMode::Append(batch) => {
            let appended = state.db.append_to_batch(&at.0, &batch, changes, condition).await?;
            outcome.staged(&batch, appended.last_modified)
        }
    })
}

/// `DELETE /storage/{collection}`
pub async fn delete(
    at: Collection,
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let condition = precondition(&request)?;
    let parameters = Parameters::parse(request.query_string())?;
    parameters.refuse(&["newer", "older", "limit", "offset", "sort"])?;
    let deletion = match parameters.ids()? {
        Some(ids) => state.db.delete_bsos(&at.0, &ids, condition).await?,
        None => state.db.delete_collection(&at.0, condition).await?,
    };
    let (mut response, modified) = match deletion {
        Deletion::Done(done) => (written(&done), done.modified),
        Deletion::NoCollection(modified) => (unchanged(modified), modified),
    };
    Ok(response.insert_header(ContentType::json()).body(format!("{{\"modified\":{modified}}}")))
}

/// `DELETE /storage` and `DELETE` of the user's whole path
pub async fn delete_store(
    user: User,
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let condition = precondition(&request)?;
    Parameters::parse(request.query_string())?.refuse(&["ids", "newer", "older", "limit", "offset", "sort"])?;
    let done = state.db.delete_store(user.0, condition).await?;
    Ok(written(&done).insert_header(ContentType::json()).body("{}"))
}

/// The beginning of the answer to a write that was done.
pub fn written(done: &Written) -> HttpResponseBuilder {
    let mut response = unchanged(done.modified);
    response.insert_header((X_WEAVE_TIMESTAMP, done.modified.to_string()));
    if let Some(bytes) = done.quota_left {
        response.insert_header((X_WEAVE_QUOTA_REMAINING, (bytes as f64 / 1024.0).to_string()));
    }
    response
}

fn unchanged(last_modified: SyncTimestamp) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((X_LAST_MODIFIED, last_modified.to_string()));
    response
}

/// Refuses what would lock a user out of all other data: see [`has_zero_iv`].
pub fn refuse_zero_iv(at: &CollectionRef, changes: &[BsoChange]) -> Result<(), ApiError> {
    let is_broken = |change: &BsoChange| match &change.payload {
        Patch::Set(payload) => has_zero_iv(payload),
        Patch::Keep | Patch::Reset => false,
    };
    if at.collection.as_str() == "crypto" && changes.iter().any(is_broken) {
        let why = "keys encrypted with a zero IV, by a client that is broken";
        return Err(ApiError::bad_request(WeaveCode::InvalidBso, why));
    }
    Ok(())
}

/// What became of the records of a POST.
struct Outcome {
    success: Vec<BsoId>,
    failed: Vec<(String, &'static str)>,
}

impl Outcome {
    fn written(&self, done: &Written) -> HttpResponse {
        let body = self.json("modified", |out| write_display(out, format_args!("{}", done.modified)));
        written(done).insert_header(ContentType::json()).body(body)
    }

    fn staged(&self, batch: &BatchId, last_modified: SyncTimestamp) -> HttpResponse {
        HttpResponse::Accepted()
            .insert_header((X_LAST_MODIFIED, last_modified.to_string()))
            .insert_header(ContentType::json())
            .body(self.json("batch", |out| write_string(out, &batch.0)))
    }

    /// The answer's body; `name` is its first member, whose value `write` writes.
    fn json(&self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.success.len() * 16);
        write_display(&mut out, format_args!("{{\"{name}\":"));
        write(&mut out);
        out.extend_from_slice(b",\"success\":[");
        for (index, id) in self.success.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&mut out, id.as_str());
        }
        out.extend_from_slice(b"],\"failed\":");
        out.extend(write_object(self.failed.iter().map(|(id, reason)| (id, format!("\"{reason}\"")))));
        out.push(b'}');
        out
    }
}
