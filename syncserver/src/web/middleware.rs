//! What happens around every request: the server's time, compression, the log.

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER, USER_AGENT};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest, HttpResponse, web};
use syncstorage_db_common::TimeBound;

use super::compression::compress;
use super::error::{ApiError, RETRY_AFTER_SECONDS};
use super::headers::{X_LAST_MODIFIED, X_WEAVE_BACKOFF, X_WEAVE_TIMESTAMP};
use crate::settings::TrustedProxies;
use crate::state::AppState;
use crate::tokenserver::ApiTokenError;

/// See the [module documentation](self).
pub async fn around(
    state: web::Data<AppState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let mut response = if crashes_on_our_headers(&request) {
        let mut refusal = HttpResponse::ServiceUnavailable();
        refusal.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS)).content_type("application/json");
        request.into_response(refusal.body("0"))
    } else {
        next.call(request).await?.map_into_boxed_body()
    };
    stamp(&mut response, &state);
    ask_to_back_off(&mut response, &state);
    log(&response, &state);
    Ok(compress(response))
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

/// One line for each request that is refused or fails. What the protocol foresees is none of the operator's business.
fn log(response: &ServiceResponse<BoxBody>, state: &AppState) {
    let Some(error) = response.response().error() else { return };
    let status = response.status();
    let is_answer = matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED)
        || status == StatusCode::NOT_FOUND && matches!(error.as_error::<ApiError>(), Some(ApiError::Db(_)));
    // Every client comes with a token that has expired, now and then.
    let is_routine = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        || matches!(error.as_error::<ApiError>(), Some(ApiError::ExpiredToken))
        || error.as_error::<ApiTokenError>().is_some_and(ApiTokenError::is_routine);
    let request = response.request();
    // Fields of the line itself, not of a logger made for it: people get the latter on lines of their own.
    let fields = slog::o!(
        "method" => request.method().as_str().to_owned(),
        "path" => request.path().to_owned(),
        "status" => status.as_u16(),
        "client" => client(request, &state.trusted_proxies).map(|address| address.to_string()),
        "reason" => error.to_string(),
    );
    if is_answer {
        slog::debug!(state.log, "request answered"; fields);
    } else if status.is_server_error() {
        slog::error!(state.log, "request failed"; fields);
    } else if is_routine {
        slog::info!(state.log, "request refused"; fields);
    } else {
        slog::warn!(state.log, "request refused"; fields);
    }
}

/// Who asks: the peer, or whom the proxies name that this server believes, the last of them first.
fn client(request: &HttpRequest, trusted: &TrustedProxies) -> Option<IpAddr> {
    let mut client = request.peer_addr()?.ip();
    let named: Vec<&str> =
        request.headers().get_all("X-Forwarded-For").filter_map(|value| value.to_str().ok()).collect();
    for name in named.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !trusted.contains(client) {
            break;
        }
        let Ok(address) = name.trim().parse() else { break };
        client = address;
    }
    Some(client)
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
    use actix_web::test::TestRequest;

    #[test]
    fn a_client_is_whom_trusted_proxies_name() {
        let trusted: TrustedProxies =
            ["127.0.0.1", "10.0.0.0/8"].map(|network| network.parse().unwrap()).into_iter().collect();
        for (peer, forwarded, named) in [
            ("192.0.2.1:1", "", "192.0.2.1"),
            ("192.0.2.1:1", "203.0.113.7", "192.0.2.1"),
            ("127.0.0.1:1", "203.0.113.7", "203.0.113.7"),
            ("127.0.0.1:1", "198.51.100.9, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
            ("127.0.0.1:1", "2001:db8::1", "2001:db8::1"),
            ("127.0.0.1:1", "unknown", "127.0.0.1"),
        ] {
            let request = TestRequest::default().peer_addr(peer.parse().unwrap());
            let request = request.insert_header(("X-Forwarded-For", forwarded)).to_http_request();
            assert_eq!(client(&request, &trusted).unwrap().to_string(), named, "{peer} {forwarded}");
        }
    }

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
