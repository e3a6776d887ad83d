//! The same events as Prometheus sees, sent to a StatsD server over UDP.
//!
//! A request only puts its lines into a queue: a thread of its own takes them out, fills datagrams and sends them. When
//! the queue is full, lines are lost and nobody waits.

use std::io;
use std::net::{ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use cadence::prelude::*;
use cadence::{BufferedUdpMetricSink, MetricSink, QueuingMetricSink, StatsdClient};
use syncstorage_db_common::PoolStatus;

use super::requests::{Answered, method_label};
use super::{Part, PurgeRound};
use crate::backend::WriterStatus;
use crate::settings::StatsdSettings;

/// The bytes of one datagram: what fits into an Ethernet frame whatever the version of IP.
const DATAGRAM_BYTES: usize = 1432;

/// The most lines that wait to be sent.
const QUEUE_LENGTH: usize = 16 * 1024;

/// How often the server's name is looked up anew.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(60);

/// A client of a StatsD server.
pub struct Statsd {
    sink: SharedSink,
    storage: StatsdClient,
    tokenserver: StatsdClient,
}

/// The queue, for both clients: they differ in the prefix of their names alone.
#[derive(Clone)]
struct SharedSink(Arc<QueuingMetricSink>);

impl MetricSink for SharedSink {
    fn emit(&self, metric: &str) -> io::Result<usize> {
        self.0.emit(metric)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Statsd {
    /// Fails where the server's name cannot be resolved.
    pub fn new(settings: &StatsdSettings) -> io::Result<Self> {
        let server = (settings.host.clone(), settings.port);
        let address = server.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
        let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.set_nonblocking(true)?;
        let udp = BufferedUdpMetricSink::builder()
            .with_capacity(DATAGRAM_BYTES)
            .with_resolver_period(RESOLVE_INTERVAL)
            .build(server, socket)
            .map_err(io::Error::other)?;
        let sink = SharedSink(Arc::new(QueuingMetricSink::with_capacity(udp, QUEUE_LENGTH)));
        let hostname = settings.hostname_tag.then(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
        let client = |label: &str| {
            let mut builder = StatsdClient::builder(label, sink.clone());
            if let Some(hostname) = &hostname {
                builder = builder.with_tag("hostname", hostname);
            }
            builder.build()
        };
        Ok(Self { storage: client(&settings.storage_label), tokenserver: client(&settings.tokenserver_label), sink })
    }

    /// Sends what waits for a datagram to be full.
    pub(super) fn flush(&self) {
        // Nobody listens there, perhaps; the next lines may be luckier.
        let _ = self.sink.flush();
    }

    fn of(&self, part: Part) -> &StatsdClient {
        match part {
            Part::Storage => &self.storage,
            Part::Tokenserver => &self.tokenserver,
        }
    }

    pub(super) fn answered(&self, answered: Answered<'_>) {
        let part = if answered.route.is_of_tokenserver() { Part::Tokenserver } else { Part::Storage };
        let client = self.of(part);
        let method = method_label(answered.method).to_ascii_lowercase();
        let name = format!("request.{method}_{}", answered.route.noun());
        client.count_with_tags(&name, 1).with_tag("status", &answered.status.to_string()).send();
        let _ = client.time(&format!("{name}.duration"), answered.took);
    }

    pub(super) fn operation(&self, part: Part, name: &str, took: Duration) {
        let _ = self.of(part).time(&format!("storage.{name}"), took);
    }

    pub(super) fn bytes(&self, part: Part, direction: &str, bytes: u64) {
        let _ = self.of(part).count(&format!("request.bytes_{direction}"), bytes);
    }

    pub(super) fn count(&self, part: Part, name: &str, tag: (&str, &str)) {
        self.of(part).count_with_tags(name, 1).with_tag(tag.0, tag.1).send();
    }

    pub(super) fn verification(&self, took: Duration) {
        // There was another type once, and dashboards ask for this one.
        self.tokenserver.time_with_tags("token_verification", took).with_tag("token_type", "OAuth").send();
    }

    pub(super) fn purge(&self, round: &PurgeRound) {
        for (kind, rows) in round.rows() {
            self.storage.count_with_tags("purge.rows", rows).with_tag("kind", kind).send();
        }
        let _ = self.storage.count("purge.failures", round.failures);
        let _ = self.storage.time("purge.duration", round.took);
    }

    pub(super) fn pool(&self, part: Part, status: &PoolStatus) {
        let client = self.of(part);
        for (name, value) in
            [("active", status.in_use), ("idle", status.idle), ("max", status.max), ("waiting", status.waiting)]
        {
            let _ = client.gauge(&format!("storage.pool.connections.{name}"), value as u64);
        }
        let _ = client.gauge("storage.pool.refusals", status.refused);
    }

    pub(super) fn writer(&self, part: Part, status: &WriterStatus) {
        let client = self.of(part);
        let _ = client.gauge("storage.sqlite.queue_length", status.queued as u64);
        let _ = client.gauge("storage.sqlite.commits", status.commits.iter().sum::<u64>());
        let _ = client.gauge("storage.sqlite.writes", status.writes);
    }

    pub(super) fn gauge(&self, part: Part, name: &str, value: f64) {
        let _ = self.of(part).gauge(name, value);
    }
}
