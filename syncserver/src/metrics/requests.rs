//! Figures of requests: how many, how fast, how large.
//!
//! Every request comes through here, so that its counters must be at hand: they lie in a table by route, method and
//! status, are looked up once, and are atomics from then on. Nothing is allocated or locked.

use std::array;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::Method;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::web::route::Route;

/// Upper bounds of durations, in seconds: a read of SQLite takes less than the first, a slow disk or network the last.
pub(super) const SECONDS: [f64; 16] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The methods that are told apart.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "other"];

/// The statuses that this server knows, and what stands for all others.
const STATUSES: [&str; 19] = [
    "200", "202", "204", "304", "400", "401", "403", "404", "405", "406", "409", "412", "413", "415", "431", "500",
    "502", "503", "other",
];

/// What is to be known of a request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Where it went.
    pub route: Route,
    /// Its method.
    pub method: &'a Method,
    /// The status of the answer.
    pub status: u16,
    /// How long it took until the answer was ready to be sent.
    pub took: Duration,
}

pub(super) struct Requests {
    total: IntCounterVec,
    durations: HistogramVec,
    routes: [OfRoute; Route::ALL.len()],
}

struct OfRoute {
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    methods: [OfMethod; METHODS.len()],
}

#[derive(Default)]
struct OfMethod {
    /// Made when they are needed first, so that nobody has to look at thousands of zeros.
    statuses: [OnceLock<IntCounter>; STATUSES.len()],
    duration: OnceLock<Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let total = IntCounterVec::new(
            Opts::new("syncserver_http_requests_total", "Requests that were answered."),
            &["route", "method", "status"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "syncserver_http_request_duration_seconds",
                "Time from the head of a request to the moment at which its answer is ready to be sent.",
            )
            .buckets(SECONDS.to_vec()),
            &["route", "method"],
        )?;
        let bytes = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["route"]);
        let bytes_in = bytes("syncserver_http_request_body_bytes_total", "Bytes of request bodies, as they arrived.")?;
        let bytes_out =
            bytes("syncserver_http_response_body_bytes_total", "Bytes of bodies of answers, as they were sent.")?;
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(bytes_in.clone()))?;
        registry.register(Box::new(bytes_out.clone()))?;
        let routes = Route::ALL.map(|route| OfRoute {
            bytes_in: bytes_in.with_label_values(&[route.pattern()]),
            bytes_out: bytes_out.with_label_values(&[route.pattern()]),
            methods: array::from_fn(|_| OfMethod::default()),
        });
        Ok(Self { total, durations, routes })
    }

    pub(super) fn answered(&self, answered: Answered<'_>) {
        let pattern = answered.route.pattern();
        let method = method_index(answered.method);
        let status = status_index(answered.status);
        let cell = &self.routes[answered.route as usize].methods[method];
        cell.statuses[status]
            .get_or_init(|| self.total.with_label_values(&[pattern, METHODS[method], STATUSES[status]]))
            .inc();
        cell.duration
            .get_or_init(|| self.durations.with_label_values(&[pattern, METHODS[method]]))
            .observe(answered.took.as_secs_f64());
    }

    pub(super) fn bytes_in(&self, route: Route) -> &IntCounter {
        &self.routes[route as usize].bytes_in
    }

    pub(super) fn bytes_out(&self, route: Route) -> &IntCounter {
        &self.routes[route as usize].bytes_out
    }
}

/// The method for a label, of which there may only be so many.
pub(super) fn method_label(method: &Method) -> &'static str {
    METHODS[method_index(method)]
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::OPTIONS => 5,
        _ => 6,
    }
}

const fn status_index(status: u16) -> usize {
    match status {
        200 => 0,
        202 => 1,
        204 => 2,
        304 => 3,
        400 => 4,
        401 => 5,
        403 => 6,
        404 => 7,
        405 => 8,
        406 => 9,
        409 => 10,
        412 => 11,
        413 => 12,
        415 => 13,
        431 => 14,
        500 => 15,
        502 => 16,
        503 => 17,
        _ => 18,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_statuses_have_the_labels_that_their_places_have() {
        for (index, name) in METHODS.into_iter().enumerate() {
            assert_eq!(method_index(&Method::from_bytes(name.as_bytes()).unwrap()), index, "{name}");
        }
        for (index, name) in STATUSES.into_iter().enumerate() {
            assert_eq!(status_index(name.parse().unwrap_or(299)), index, "{name}");
        }
    }
}
