//! The listeners, and the HTTP server on them.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::dev::Server;
use actix_web::http::{KeepAlive, Method};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};

use super::StartError;
use crate::pulse::Pulses;
use crate::settings::{AllowedOrigin, Settings};
use crate::state::AppState;
use crate::tls::Certificates;
use crate::web::{Parts, middleware, routes};

/// How long requests under way may take when the server is told to stop.
const SHUTDOWN_SECONDS: u64 = 30;

/// How long a client may take to agree on the keys of a connection.
const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens on every address that `host` has, of which the first is returned.
pub(super) fn bind(host: &str, port: u16) -> Result<(Vec<TcpListener>, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { host: host.to_owned(), port, error };
    let mut listeners = Vec::new();
    for address in (host, port).to_socket_addrs().map_err(failed)? {
        match TcpListener::bind(address) {
            Ok(listener) => listeners.push(listener),
            // A name may have addresses of a kind that this machine has not, such as localhost without IPv6.
            Err(error) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported) => continue,
            Err(error) => return Err(failed(error)),
        }
        if port == 0 {
            // Another address would get another port.
            break;
        }
    }
    let first = listeners.first().ok_or_else(|| failed(ErrorKind::AddrNotAvailable.into()))?;
    let address = first.local_addr().map_err(failed)?;
    Ok((listeners, address))
}

/// The HTTP server on those listeners, with TLS where there is a certificate.
pub(super) fn serve(
    settings: &Settings,
    state: web::Data<AppState>,
    listeners: Vec<TcpListener>,
    certificates: Option<&Arc<Certificates>>,
    pulses: Option<&Pulses>,
) -> Result<Server, StartError> {
    let parts = Parts::of(settings);
    let cors_settings = settings.cors.clone();
    let pulses = pulses.cloned();
    let mut server = HttpServer::new(move || {
        if let Some(pulses) = &pulses {
            pulses.begin_here();
        }
        App::new()
            .app_data(state.clone())
            .wrap(cors(&cors_settings))
            // Around CORS, too: a preflight is an answer as any other.
            .wrap(from_fn(middleware::around))
            .configure(|config| routes(config, &parts))
    })
    .workers(settings.workers)
    .worker_max_blocking_threads(settings.worker_max_blocking_threads)
    .keep_alive(match settings.actix_keep_alive {
        Duration::ZERO => KeepAlive::Disabled,
        time => KeepAlive::Timeout(time),
    })
    // Whoever runs the program looks after its signals, and stops the server by its handle.
    .disable_signals()
    // Phones on bad networks take a while; the default of 3 seconds is for servers in one house.
    .tls_handshake_timeout(TLS_HANDSHAKE_TIMEOUT)
    .shutdown_timeout(SHUTDOWN_SECONDS);
    for listener in listeners {
        let listening = match certificates {
            Some(certificates) => server.listen_rustls_0_23(listener, certificates.config()?),
            None => server.listen(listener),
        };
        server = listening.map_err(|error| StartError::Listen {
            host: settings.host.clone(),
            port: settings.port,
            error,
        })?;
    }
    Ok(server.run())
}

fn cors(settings: &crate::settings::Cors) -> Cors {
    let methods = settings.allowed_methods.iter().filter_map(|method| Method::from_bytes(method.as_bytes()).ok());
    let mut cors =
        Cors::default().allowed_methods(methods).allow_any_header().expose_any_header().max_age(settings.max_age);
    match &settings.allowed_origin {
        AllowedOrigin::Any => cors = cors.allow_any_origin(),
        AllowedOrigin::Only(origins) => {
            for origin in origins {
                cors = cors.allowed_origin(origin);
            }
        }
    }
    cors
}
