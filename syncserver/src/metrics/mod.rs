//! What the server tells about its work. All of it is recorded here, in [`Metrics`], and leaves in two ways: Prometheus
//! fetches it ([`listener`]), and a StatsD server is sent it ([`statsd`]).
//!
//! No label holds anything that a client can choose, nor anything about a person: labels are routes, methods, statuses,
//! operations, and reasons of a fixed list.

pub mod listener;
mod operations;
mod process;
mod requests;
mod sampled;
pub mod statsd;
mod timed;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use tokenserver_db_common::{SignedIn, TokenDb, TokenError, reason};

pub use self::operations::Operation;
use self::operations::Operations;
use self::process::{Process, now_seconds};
pub use self::requests::Answered;
use self::requests::{Requests, SECONDS};
pub use self::sampled::KeysAge;
use self::sampled::{Sampled, SampledCollector};
use self::statsd::Statsd;
pub use self::timed::{TimedDb, TimedTokenDb};
use crate::backend::Probe;
use crate::web::hawk::HawkRefusal;
use crate::web::ops::{BUILD, COMMIT, VERSION};
use crate::web::route::Route;

/// How often a StatsD server is told the state of things.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// How often datagrams that are not full are sent.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// How often the users are counted: it may be a walk through all of them.
const USERS_INTERVAL: Duration = Duration::from_secs(600);

/// Why an account may be refused as a whole, as a label: what [`reason`] says.
const ACCOUNT_REASONS: [&str; 4] = ["closed", "allow_list", "max_users", "denied"];

/// What can happen to an error report.
const REPORT_OUTCOMES: [&str; 2] = ["sent", "left_out"];

/// The two parts of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The storage of records.
    Storage,
    /// The tokenserver.
    Tokenserver,
}

impl Part {
    /// For a label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Tokenserver => "tokenserver",
        }
    }

    fn of(name: &str) -> Self {
        if name == "tokenserver" { Self::Tokenserver } else { Self::Storage }
    }
}

/// A purge that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeRound {
    /// Expired records removed.
    pub bsos: u64,
    /// Stale batches removed.
    pub batches: u64,
    /// Rows of replaced users removed.
    pub users: u64,
    /// What could not be done.
    pub failures: u64,
    /// How long it took.
    pub took: Duration,
}

impl PurgeRound {
    fn rows(&self) -> [(&'static str, u64); 3] {
        [("bsos", self.bsos), ("batches", self.batches), ("users", self.users)]
    }
}

/// See the [module documentation](self). What is counted here is seen by both ways out.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    operations: Operations,
    hawk_refusals: Vec<IntCounter>,
    sign_ins: IntCounterVec,
    new_users: IntCounter,
    accounts_refused: IntCounterVec,
    verification: Histogram,
    users: IntGauge,
    purge_rows: IntCounterVec,
    purge_failures: IntCounter,
    purge_last: Gauge,
    purge_took: Gauge,
    panics: IntCounter,
    reports: IntCounterVec,
    sampled: Arc<Sampled>,
    statsd: Option<Arc<Statsd>>,
}

impl Metrics {
    /// With nothing in them. It fails only where two metrics have one name.
    pub fn new(statsd: Option<Statsd>) -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone())).map(|()| counter)
        };
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            // A counter that begins at 0 shows its first step, and one that begins at 1 does not.
            for value in values {
                counters.with_label_values(&[value]);
            }
            registry.register(Box::new(counters.clone())).map(|()| counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::new(name, help)?;
            registry.register(Box::new(gauge.clone())).map(|()| gauge)
        };
        let build = Opts::new("syncserver_build_info", "What runs: always 1, with the version in its labels.")
            .const_label("version", VERSION)
            .const_label("commit", COMMIT)
            .const_label("build", BUILD);
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        registry.register(Box::new(build))?;
        let users = IntGauge::new("syncserver_tokenserver_users", "Accounts that are users, counted now and then.")?;
        let verification = Histogram::with_opts(
            HistogramOpts::new(
                "syncserver_tokenserver_token_verification_duration_seconds",
                "Time that it took to verify an access token.",
            )
            .buckets(SECONDS.to_vec()),
        )?;
        registry.register(Box::new(verification.clone()))?;
        let refusals = counters(
            "syncserver_hawk_refusals_total",
            "Requests to the storage answered 401.",
            "reason",
            &HawkRefusal::ALL.map(HawkRefusal::name),
        )?;
        let sampled = Arc::new(Sampled::new());
        registry.register(Box::new(SampledCollector(Arc::clone(&sampled))))?;
        Ok(Arc::new(Self {
            requests: Requests::new(&registry)?,
            operations: Operations::new(&registry)?,
            hawk_refusals: HawkRefusal::ALL.map(|reason| refusals.with_label_values(&[reason.name()])).into(),
            sign_ins: counters(
                "syncserver_tokenserver_sign_ins_total",
                "Requests for a token, by the status in the body of their answer.",
                "status",
                &["success"],
            )?,
            new_users: counter(
                "syncserver_tokenserver_new_users_total",
                "Accounts that signed in for the first time.",
            )?,
            accounts_refused: counters(
                "syncserver_tokenserver_registration_refusals_total",
                "Accounts that may not sign in for the first time, each time that they try.",
                "reason",
                &ACCOUNT_REASONS,
            )?,
            verification,
            users,
            purge_rows: counters(
                "syncserver_purge_rows_total",
                "Rows that the purge has removed.",
                "kind",
                &["bsos", "batches", "users"],
            )?,
            purge_failures: counter("syncserver_purge_failures_total", "What the purge could not do.")?,
            purge_last: gauge(
                "syncserver_purge_last_run_timestamp_seconds",
                "When the last purge ended, in seconds since 1970; 0 before the first one.",
            )?,
            purge_took: gauge("syncserver_purge_last_run_duration_seconds", "How long the last purge took.")?,
            panics: counter("syncserver_panics_total", "Panics: errors in this program, each a line in its log.")?,
            reports: counters(
                "syncserver_error_reports_total",
                "Errors for Sentry; those that come too fast are left out.",
                "outcome",
                &REPORT_OUTCOMES,
            )?,
            sampled,
            statsd: statsd.map(Arc::new),
            registry,
        }))
    }

    /// A request was answered.
    pub fn answered(&self, answered: Answered<'_>) {
        self.requests.answered(answered);
        if let Some(statsd) = &self.statsd {
            statsd.answered(answered);
        }
    }

    /// Bytes of a request's body have arrived.
    pub fn bytes_in(&self, route: Route, bytes: u64) {
        self.requests.bytes_in(route).inc_by(bytes);
        if let Some(statsd) = &self.statsd {
            statsd.bytes(part_of(route), "in", bytes);
        }
    }

    /// Bytes of an answer's body go out.
    pub fn bytes_out(&self, route: Route, bytes: u64) {
        self.requests.bytes_out(route).inc_by(bytes);
        if let Some(statsd) = &self.statsd {
            statsd.bytes(part_of(route), "out", bytes);
        }
    }

    /// The storage has refused a request that was not signed as it should be.
    pub fn hawk_refused(&self, reason: HawkRefusal) {
        self.hawk_refusals[reason as usize].inc();
        if let Some(statsd) = &self.statsd {
            statsd.count(Part::Storage, "hawk.refusal", ("reason", reason.name()));
        }
    }

    /// A request for a token was answered, with this status in its body.
    pub fn signed_in(&self, status: &'static str) {
        self.sign_ins.with_label_values(&[status]).inc();
        if let Some(statsd) = &self.statsd {
            statsd.count(Part::Tokenserver, "sign_in", ("status", status));
        }
    }

    /// An account has signed in, or may not: of interest are newcomers here, and those whom the operator has denied.
    pub(crate) fn user_signed_in(&self, result: &Result<SignedIn, TokenError>) {
        let status = match result {
            Ok(signed_in) if signed_in.created => "success",
            Err(TokenError::Refused(refusal)) => match reason(refusal) {
                Some(reason) => reason,
                None => return,
            },
            Ok(_) | Err(_) => return,
        };
        if result.is_ok() {
            self.new_users.inc();
        } else {
            self.accounts_refused.with_label_values(&[status]).inc();
        }
        if let Some(statsd) = &self.statsd {
            statsd.count(Part::Tokenserver, "registration", ("status", status));
        }
    }

    /// An access token was verified, or refused.
    pub fn verified(&self, took: Duration) {
        self.verification.observe(took.as_secs_f64());
        if let Some(statsd) = &self.statsd {
            statsd.verification(took);
        }
    }

    /// A purge has ended.
    pub fn purged(&self, round: PurgeRound) {
        for (kind, rows) in round.rows() {
            self.purge_rows.with_label_values(&[kind]).inc_by(rows);
        }
        self.purge_failures.inc_by(round.failures);
        self.purge_last.set(now_seconds());
        self.purge_took.set(round.took.as_secs_f64());
        if let Some(statsd) = &self.statsd {
            statsd.purge(&round);
        }
    }

    /// The program has panicked somewhere.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// An error was reported to Sentry, or left out because there were too many.
    pub fn reported(&self, sent: bool) {
        self.reports.with_label_values(&[REPORT_OUTCOMES[usize::from(!sent)]]).inc();
    }

    /// The watch of an operation of a database.
    #[must_use]
    pub(crate) fn operation(&self, part: Part, name: &'static str) -> Operation {
        self.operations.of(part, name, self.statsd.as_ref())
    }

    /// Names what is to be asked for its state.
    pub fn watch(&self, probes: Vec<Probe>, keys_age: Option<KeysAge>) {
        self.sampled.watch(probes, keys_age);
    }

    /// All figures, in Prometheus' text format.
    pub fn text(&self) -> prometheus::Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Counts the users now and then, for as long as it is polled.
    pub async fn count_users(self: Arc<Self>, db: Arc<dyn TokenDb>) {
        let mut known = false;
        loop {
            if let Ok(users) = db.count_users().await {
                self.users.set(i64::try_from(users).unwrap_or(i64::MAX));
                if !known {
                    // Not before there is a number: 0 would be a wrong one.
                    known = self.registry.register(Box::new(self.users.clone())).is_ok();
                }
            }
            tokio::time::sleep(USERS_INTERVAL).await;
        }
    }

    /// Tells a StatsD server the state of things, for as long as it is polled.
    pub async fn keep_statsd_informed(self: Arc<Self>) {
        let Some(statsd) = &self.statsd else { return };
        loop {
            self.sample(statsd);
            for _ in 0..SAMPLE_INTERVAL.as_secs() / FLUSH_INTERVAL.as_secs() {
                tokio::time::sleep(FLUSH_INTERVAL).await;
                statsd.flush();
            }
        }
    }

    fn sample(&self, statsd: &Statsd) {
        for (name, status) in self.sampled.pools() {
            statsd.pool(Part::of(name), &status);
        }
        for (name, status) in self.sampled.writers() {
            statsd.writer(Part::of(name), &status);
        }
        if let Some(age) = self.sampled.keys_age() {
            statsd.gauge(Part::Tokenserver, "jwks_age", age.as_secs_f64());
        }
        if let Some(process) = Process::read() {
            statsd.gauge(Part::Storage, "process.cpu_seconds", process.cpu_seconds);
            statsd.gauge(Part::Storage, "process.resident_memory_bytes", process.resident_bytes);
        }
        if self.users.get() > 0 {
            statsd.gauge(Part::Tokenserver, "users", self.users.get() as f64);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        if let Some(statsd) = &self.statsd {
            statsd.flush();
        }
    }
}

fn part_of(route: Route) -> Part {
    if route.is_of_tokenserver() { Part::Tokenserver } else { Part::Storage }
}
