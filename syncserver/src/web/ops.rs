//! What operators and load balancers ask.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::error::{ApiError, RETRY_AFTER_SECONDS};
use crate::causes::chain;
use crate::state::AppState;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, as far as the build was told by `SYNCSERVER_COMMIT`.
pub const COMMIT: &str = match option_env!("SYNCSERVER_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// The build, as far as it was told by `SYNCSERVER_BUILD`.
pub const BUILD: &str = match option_env!("SYNCSERVER_BUILD") {
    Some(build) => build,
    None => "",
};

/// `GET /__heartbeat__`: whether the databases answer.
pub async fn heartbeat(state: web::Data<AppState>) -> HttpResponse {
    let failure = state.health.ask(ask(&state)).await.err();
    let word = if failure.is_none() { "Ok" } else { "Err" };
    let quota = state.quota.map_or(0, |quota| quota.limit);
    let body = json!({
        "version": VERSION,
        "status": word,
        "database": word,
        "quota": { "enabled": state.quota.is_some(), "enforced": state.quota.is_some_and(|quota| quota.enforce), "size": quota },
    });
    match failure {
        None => HttpResponse::Ok().json(body),
        Some(_) => HttpResponse::ServiceUnavailable().insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS)).json(body),
    }
}

/// Asks both databases for real.
async fn ask(state: &AppState) -> Result<(), String> {
    let mut outcome = state.db.check().await.map_err(|error| chain(&error));
    // Not asked where the storage's has failed: it mostly is the same one, and the answer would come twice as late.
    if let (Ok(()), Some(tokens)) = (&outcome, &state.tokens) {
        outcome = tokens.db.check().await.map_err(|error| chain(&error));
    }
    if let Err(reason) = &outcome {
        slog::error!(state.log, "the database does not answer the heartbeat"; "reason" => reason);
    }
    outcome
}

/// `GET /__lbheartbeat__`: whether this process answers, with the figures of its connections to the database. It fails
/// when the process has reached the age at which it is to be replaced.
pub async fn lbheartbeat(state: web::Data<AppState>) -> HttpResponse {
    let pool = state.db.pool_status();
    let retired = state.retires_at.is_some_and(|at| Instant::now() >= at);
    let status = if retired { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    HttpResponse::build(status).json(json!({
        "retired": retired,
        "active_connections": pool.in_use,
        "idle_connections": pool.idle,
        "max_connections": pool.max,
        "waiting": pool.waiting,
        "usage_percentage": pool.in_use * 100 / pool.max.max(1),
    }))
}

/// `GET /__version__`: what is running. Source, commit and build are those that the build was told by the environment
/// (`SYNCSERVER_SOURCE`, `SYNCSERVER_COMMIT`, `SYNCSERVER_BUILD`), empty where it was not.
/// `instance` is random text that tells this process from any other, and `public_url` is where it sends clients: by both
/// `syncserver doctor` knows whom it has reached.
pub async fn version(state: web::Data<AppState>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store"))).json(json!({
        "source": option_env!("SYNCSERVER_SOURCE").unwrap_or_default(),
        "version": VERSION,
        "commit": COMMIT,
        "build": BUILD,
        "instance": state.instance,
        "public_url": state.public_url.to_string(),
    }))
}

/// `GET /__error__`: fails, so that an operator can see where errors get to. It panics with `?panic`.
pub async fn test_error(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    #[expect(clippy::panic, reason = "it is what was asked for")]
    if request.query_string() == "panic" {
        panic!("a test panic, asked for at /__error__");
    }
    Err(ApiError::Internal("a test error, asked for at /__error__".into()))
}
