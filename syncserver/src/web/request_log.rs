//! The lines of the log about requests.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::body::BoxBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, USER_AGENT};
use slog::Level;

use super::error::ApiError;
use super::request_id::RequestId;
use super::route::Route;
use crate::doctor;
use crate::reports::Failed;
use crate::settings::TrustedProxies;
use crate::state::AppState;
use crate::tokenserver::ApiTokenError;

/// The headers of requests that are told at the level `trace`; of others only how long they are. They hold no secret: not
/// even `X-KeyID` would do, in which a digest of the user's key stands.
const HARMLESS: [&str; 27] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "access-control-request-headers",
    "access-control-request-method",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "origin",
    "transfer-encoding",
    "user-agent",
    "x-confirm-delete",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-if-modified-since",
    "x-if-unmodified-since",
    "x-request-id",
    "x-weave-bytes",
    "x-weave-records",
    "x-weave-total-bytes",
    "x-weave-total-records",
];

/// One line for each request that is refused or fails; for the others only at the level `debug`. What the protocol
/// foresees is none of the operator's business.
pub(super) fn log(response: &ServiceResponse<BoxBody>, state: &AppState, route: Route, id: &RequestId, took: Duration) {
    let error = response.response().error();
    let is_debug = Level::Debug.is_at_least(state.log_level);
    if route.is_health_check() || (error.is_none() && !is_debug) {
        return;
    }
    let (request, status) = (response.request(), response.status());
    if Level::Trace.is_at_least(state.log_level) {
        slog::trace!(state.log, "request headers"; "request_id" => id.as_str(), "headers" => headers(request.headers()));
    }
    let Some(error) = error else {
        slog::debug!(state.log, "answered";
            "method" => request.method().as_str(),
            "path" => request.path(),
            "status" => status.as_u16(),
            "client" => client(request, &state.trusted_proxies).map(|address| address.to_string()),
            "request_id" => id.as_str(),
            "duration_ms" => milliseconds(took),
        );
        return;
    };
    let is_answer = matches!(status, StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED)
        || status == StatusCode::NOT_FOUND && matches!(error.as_error::<ApiError>(), Some(ApiError::Db(_)));
    // Every client comes with a token that has expired, now and then.
    let is_routine = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        || matches!(error.as_error::<ApiError>(), Some(ApiError::ExpiredToken))
        || error.as_error::<ApiTokenError>().is_some_and(ApiTokenError::is_routine)
        || is_probe(request, error.as_error());
    if is_answer && !is_debug {
        return;
    }
    let reason = error.to_string();
    if status.is_server_error()
        && let Some(reporter) = &state.reporter
    {
        let (method, status) = (request.method().as_str(), status.as_u16());
        reporter.failed(&Failed { route, method, status, reason: &reason, request_id: id.as_str() });
    }
    // Fields of the line itself, not of a logger made for it: people get the latter on lines of their own.
    let fields = slog::o!(
        "method" => request.method().as_str().to_owned(),
        "path" => request.path().to_owned(),
        "status" => status.as_u16(),
        "client" => client(request, &state.trusted_proxies).map(|address| address.to_string()),
        "request_id" => id.as_str().to_owned(),
        "duration_ms" => milliseconds(took),
        "reason" => reason,
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

/// Whether it is a request of `syncserver doctor` that is there to be refused. That its signature is refused is for the
/// operator to see, as any client's would be.
fn is_probe(request: &HttpRequest, error: Option<&ApiError>) -> bool {
    let agent = request.headers().get(USER_AGENT);
    agent.is_some_and(|agent| agent == doctor::USER_AGENT) && error.and_then(ApiError::hawk_refusal).is_none()
}

/// With three decimals.
fn milliseconds(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}

/// Headers on one line, without what nobody may see.
fn headers(headers: &HeaderMap) -> String {
    let each = headers.iter().map(|(name, value)| match value.to_str() {
        Ok(text) if HARMLESS.contains(&name.as_str()) => format!("{name}: {text}"),
        _ => format!("{name}: {}", hidden(name, value.as_bytes())),
    });
    each.collect::<Vec<_>>().join(" | ")
}

/// How long a value is, and the scheme of an authorization, which is often all that is wrong with it.
fn hidden(name: &HeaderName, value: &[u8]) -> String {
    let known = ["Hawk", "Bearer", "Basic"].into_iter().find(|scheme| {
        let start = value.get(..scheme.len() + 1).map(<[u8]>::to_ascii_lowercase);
        start.is_some_and(|start| start == format!("{} ", scheme.to_ascii_lowercase()).as_bytes())
    });
    match known {
        Some(scheme) if name == "authorization" => format!("{scheme} ({} bytes)", value.len()),
        _ => format!("({} bytes)", value.len()),
    }
}

/// Who asks: the peer, or whom the proxies name that this server believes, the last of them first.
pub(super) fn client(request: &HttpRequest, trusted: &TrustedProxies) -> Option<IpAddr> {
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
    fn of_headers_only_the_harmless_ones_are_told() {
        for (name, value, told) in [
            ("User-Agent", "Firefox/153", "user-agent: Firefox/153"),
            ("Authorization", "hawk id=\"abc\"", "authorization: Hawk (13 bytes)"),
            ("Authorization", "Bearer abc", "authorization: Bearer (10 bytes)"),
            ("Authorization", "c2VjcmV0", "authorization: (8 bytes)"),
            ("X-KeyID", "1-abc", "x-keyid: (5 bytes)"),
            ("X-Client-State", "Hawk id", "x-client-state: (7 bytes)"),
            ("Cookie", "a=b", "cookie: (3 bytes)"),
        ] {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            assert_eq!(headers(request.headers()), told);
        }
    }
}
