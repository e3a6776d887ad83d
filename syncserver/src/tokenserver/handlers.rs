//! `GET /1.0/sync/1.5`

use std::time::Instant;

use actix_web::guard::GuardContext;
use actix_web::http::header::{AUTHORIZATION, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse, web};

use super::LetIn;
use super::error::{ApiTokenError, stamp};
use super::key_id::KeyId;
use crate::state::AppState;
use crate::web::query::Parameters;
use crate::web::route::Route;

/// Whether a request to a path that is not the tokenserver's alone is for it.
pub fn has_bearer(context: &GuardContext<'_>) -> bool {
    let value = context.head().headers().get(AUTHORIZATION).map(actix_web::http::header::HeaderValue::as_bytes);
    value.is_some_and(|value| value.len() > 7 && value[..7].eq_ignore_ascii_case(b"bearer "))
}

/// The access token of a request: all that follows the scheme.
pub(super) fn bearer(request: &HttpRequest) -> Result<&str, ApiTokenError> {
    let value = request.headers().get(AUTHORIZATION).ok_or_else(ApiTokenError::no_authorization)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ').ok_or_else(ApiTokenError::no_authorization)?;
    let (scheme, token) = (&value[..space], &value[space + 1..]);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(ApiTokenError::unsupported_scheme(&String::from_utf8_lossy(scheme)));
    }
    std::str::from_utf8(token).map_err(|_| ApiTokenError::invalid_credentials("the access token is not text in UTF-8"))
}

/// Answers a request for a storage token, at whatever path.
pub async fn token(request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiTokenError> {
    let path = request.match_info();
    if path.get("application").is_some_and(|application| application != "sync") {
        return Err(ApiTokenError::unsupported_application());
    }
    if let Some(version) = path.get("version").filter(|version| *version != "1.5") {
        return Err(ApiTokenError::unsupported_version(version));
    }
    let tokens = state.tokens.as_ref().ok_or_else(|| ApiTokenError::internal("the tokenserver is off"))?;
    let access_token = bearer(&request)?;
    let key_id = KeyId::parse(request.headers())?;
    let started = Instant::now();
    let claims = tokens.access_tokens.verify(access_token).await;
    state.metrics.verified(started.elapsed());
    let claims = claims?;
    let duration = duration(request.query_string(), tokens.token_duration);
    let public_url = state.public_url.to_string();
    let LetIn { answer, uid } =
        tokens.sign_in(&claims, &key_id, duration, &state.token_keys, &public_url, &state.clock).await?;
    let user_agent = request.headers().get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    tokens.notes.device(uid, &user_agent.unwrap_or_default(), state.clock.now_ms());
    let mut response = HttpResponse::Ok();
    stamp(&mut response, &state.clock);
    Ok(response.json(answer))
}

/// Answers a method that a path of the tokenserver does not take.
pub async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, ApiTokenError> {
    let allow = request.app_data::<Route>().map_or("GET", |route| route.allow());
    Err(ApiTokenError::method_not_allowed(allow))
}

/// The seconds that the client asks for, if there is any sense in it.
fn duration(query: &str, most: u64) -> u64 {
    let parameters = Parameters::parse(query).ok();
    let wanted = parameters.and_then(|parameters| parameters.get("duration").ok()??.parse::<u64>().ok());
    wanted.filter(|wanted| (1..=most).contains(wanted)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_client_may_ask_for_a_shorter_life() {
        for (query, seconds) in [
            ("", 3600),
            ("duration=1", 1),
            ("duration=3600", 3600),
            ("duration=3601", 3600),
            ("duration=0", 3600),
            ("duration=-1", 3600),
            ("duration=x&y", 3600),
            ("duration=%FF", 3600),
        ] {
            assert_eq!(duration(query, 3600), seconds, "{query}");
        }
    }
}
