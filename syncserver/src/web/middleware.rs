//! What happens around every request: the server's time, compression, the log, the figures.

use std::time::Instant;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};
use syncstorage_db_common::TimeBound;

use super::compression::compress;
use super::counted::Counted;
use super::error::{ApiError, RETRY_AFTER_SECONDS};
use super::headers::{X_LAST_MODIFIED, X_WEAVE_BACKOFF, X_WEAVE_TIMESTAMP};
use super::request_id::{RequestId, X_REQUEST_ID};
use super::request_log::log;
use super::route::Route;
use crate::metrics::Answered;
use crate::state::AppState;
use crate::tokenserver::ApiTokenError;

/// See the [module documentation](self).
pub async fn around(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let started = Instant::now();
    let mut response = if crashes_on_our_headers(&request) {
        let mut refusal = HttpResponse::ServiceUnavailable();
        refusal.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS)).content_type("application/json");
        request.into_response(refusal.body("0"))
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    stamp(&mut response, &state);
    ask_to_back_off(&mut response, &state);
    let id = RequestId::of(response.request(), &state.trusted_proxies);
    response.headers_mut().insert(X_REQUEST_ID, id.header());
    let route = response.request().app_data::<Route>().copied().unwrap_or(Route::Unmatched);
    let took = started.elapsed();
    let (method, status) = (response.request().method(), response.status().as_u16());
    state.metrics.answered(Answered { route, method, status, took });
    count_refusals(&response, &state, route);
    log(&response, &state, route, &id, took);
    Ok(count_bytes(compress(response), &state, route))
}

/// What is counted of the reasons, besides the statuses.
fn count_refusals(response: &ServiceResponse<BoxBody>, state: &AppState, route: Route) {
    let error = response.response().error();
    if route == Route::Token {
        match error.and_then(|error| error.as_error::<ApiTokenError>()) {
            Some(error) => state.metrics.signed_in(error.code()),
            None => state.metrics.signed_in("success"),
        }
    } else if let Some(reason) = error.and_then(|error| error.as_error::<ApiError>()?.hawk_refusal()) {
        state.metrics.hawk_refused(reason);
    }
}

/// Counts the bytes of an answer: at once where their number is known, else as they go.
fn count_bytes(
    response: ServiceResponse<BoxBody>,
    state: &web::Data<AppState>,
    route: Route,
) -> ServiceResponse<BoxBody> {
    if response.request().method() == Method::HEAD {
        return response;
    }
    match response.response().body().size() {
        BodySize::None | BodySize::Sized(0) => response,
        BodySize::Sized(bytes) => {
            state.metrics.bytes_out(route, bytes);
            response
        }
        BodySize::Stream => response.map_body(|_, body| Counted::new(body, state.metrics.clone(), route).boxed()),
    }
}

/// Every answer says what time it is for the server; a write has said its own time already. It is never before the
/// time that the answer itself speaks of.
fn stamp(response: &mut ServiceResponse<BoxBody>, state: &AppState) {
    let headers = response.headers_mut();
    if headers.contains_key(X_WEAVE_TIMESTAMP) {
        return;
    }
    let now = state.clock.now();
    let modified = headers.get(X_LAST_MODIFIED).filter(|value| {
        let time = value.to_str().ok().and_then(|text| text.parse::<TimeBound>().ok());
        time.is_some_and(|time| time.floor_ms() > now.as_ms())
    });
    let value = modified.cloned().or_else(|| HeaderValue::from_str(&now.to_string()).ok());
    if let Some(value) = value {
        headers.insert(X_WEAVE_TIMESTAMP, value);
    }
}

/// Asks the client to stay away for a while, because the operator wishes it or because the server cannot keep up.
fn ask_to_back_off(response: &mut ServiceResponse<BoxBody>, state: &AppState) {
    let overload = (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_SECONDS as u64);
    if let Some(seconds) = state.backoff.map(|time| time.as_secs()).max(overload) {
        response.headers_mut().insert(X_WEAVE_BACKOFF, HeaderValue::from(seconds));
    }
}

/// Early versions of Firefox for iOS crash on the headers of this API:
/// `Firefox-iOS-Sync/<1 to 19>.<anything>b<number> (<anything>; iPhone OS <anything>) (<anything>)`.
fn crashes_on_our_headers(request: &ServiceRequest) -> bool {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    request.path().contains("/1.5/") && is_early_ios(agent)
}

fn is_early_ios(agent: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = || {
        let (product, rest) = agent.strip_prefix("Firefox-iOS-Sync/")?.split_once(" (")?;
        let (major, rest_of_version) = product.split_once('.')?;
        let (_, build) = rest_of_version.rsplit_once('b')?;
        let (device, rest) = rest.split_once(") (")?;
        let (_, system) = device.split_once("; ")?;
        Some((major, build, system, rest))
    };
    parts().is_some_and(|(major, build, system, rest)| {
        let early = major.parse::<u8>().is_ok_and(|major| (1..=19).contains(&major)) && digits(major);
        early && digits(build) && system.starts_with("iPhone OS ") && rest.ends_with(')')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_firefox_for_ios_is_told_from_later_ones() {
        for early in [
            "Firefox-iOS-Sync/1.0b1 (iPhone; iPhone OS 9.3) (Fennec (synctesting))",
            "Firefox-iOS-Sync/18.0b1 (iPhone; iPhone OS 13.2.2) (Fennec (synctesting))",
            "Firefox-iOS-Sync/19.2.1b12 (iPad Pro; iPhone OS 13.2.2) (Firefox)",
        ] {
            assert!(is_early_ios(early), "{early}");
        }
        for other in [
            "",
            "Firefox-iOS-Sync/20.0b1 (iPhone; iPhone OS 13.2.2) (Fennec (synctesting))",
            "Firefox-iOS-Sync/0.5b1 (iPhone; iPhone OS 13.2.2) (Firefox)",
            "Firefox-iOS-Sync/18.0 (iPhone; iPhone OS 13.2.2) (Firefox)",
            "Firefox-iOS-FxA/18.0b1 (iPhone; iPhone OS 13.2.2) (Firefox)",
            "Firefox-iOS-Sync/18.0b1 (iPhone; Android 13) (Firefox)",
            "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
        ] {
            assert!(!is_early_ios(other), "{other}");
        }
    }
}
