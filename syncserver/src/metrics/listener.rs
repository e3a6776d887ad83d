//! `GET /metrics`, on an address of its own: what it tells is for operators, not for clients.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, guard, web};
use ring::hmac;
use ring::rand::SystemRandom;

use super::Metrics;
use crate::settings::{MetricsSettings, Secret};

/// The version of Prometheus' text format that [`Metrics::text`] has.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Listens where the settings say; `None` where metrics are off, or where the default address is taken: that is warned
/// about, and no reason not to serve. An address that was asked for and cannot be had is an error.
pub fn bind(settings: &MetricsSettings, log: &slog::Logger) -> io::Result<Option<TcpListener>> {
    let Some(address) = settings.listen else { return Ok(None) };
    let listener = match TcpListener::bind(address) {
        Ok(listener) => listener,
        Err(error) if !settings.is_explicit => {
            slog::warn!(log, "no metrics for Prometheus: their default address is taken, perhaps by another server \
                like this one. Set metrics_listen (SYNC_METRICS_LISTEN) to another address, or to \"off\"";
                "address" => address.to_string(), "reason" => error.to_string());
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !address.ip().is_loopback() && settings.token.is_none() {
        slog::warn!(log, "metrics are open to everybody who reaches their address: set metrics_token \
            (SYNC_METRICS_TOKEN), or have a firewall guard it"; "address" => address.to_string());
    }
    Ok(Some(listener))
}

/// Answers on a listener; its address as well, since the system may have chosen the port.
pub fn serve(listener: TcpListener, token: Option<&Secret>, metrics: Arc<Metrics>) -> io::Result<(Server, SocketAddr)> {
    let address = listener.local_addr()?;
    let token = token.map(Token::new).transpose()?;
    let (metrics, token) = (web::Data::from(metrics), web::Data::new(token));
    let server = HttpServer::new(move || {
        let read = guard::Any(guard::Get()).or(guard::Head());
        App::new()
            .app_data(metrics.clone())
            .app_data(token.clone())
            .service(web::resource("/metrics").route(web::route().guard(read).to(answer)))
    })
    // One is enough for the few who ask.
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok((server, address))
}

async fn answer(request: HttpRequest, metrics: web::Data<Metrics>, token: web::Data<Option<Token>>) -> HttpResponse {
    if token.as_ref().as_ref().is_some_and(|token| !token.is_shown_by(&request)) {
        return HttpResponse::Unauthorized().insert_header((WWW_AUTHENTICATE, "Bearer")).finish();
    }
    match metrics.text() {
        Ok(text) => HttpResponse::Ok().content_type(CONTENT_TYPE).body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

/// The token that a request has to bear. It is kept and compared as a MAC under a key that nobody knows, so that the time
/// which that takes tells nothing.
struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    fn new(token: &Secret) -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| io::Error::other("the system has no random numbers"))?;
        let tag = hmac::sign(&key, token.expose().as_bytes());
        Ok(Self { key, tag })
    }

    fn is_shown_by(&self, request: &HttpRequest) -> bool {
        let value = request.headers().get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let Some((scheme, token)) = value.split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && hmac::verify(&self.key, token, self.tag.as_ref()).is_ok()
    }
}
