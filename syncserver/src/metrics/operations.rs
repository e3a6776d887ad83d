//! The time that operations of the databases take.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use syncstorage_db_common::{DbError, Fault};
use tokenserver_db_common::TokenError;

use super::Part;
use super::requests::SECONDS;
use super::statsd::Statsd;

/// The figures of all operations.
pub(super) struct Operations {
    durations: HistogramVec,
    failures: IntCounterVec,
}

impl Operations {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "syncserver_database_operation_duration_seconds",
                "Time that an operation of a database took, the wait for a connection or for the writer included.",
            )
            .buckets(SECONDS.to_vec()),
            &["database", "operation"],
        )?;
        let failures = IntCounterVec::new(
            Opts::new("syncserver_database_operation_failures_total", "Operations of a database that failed."),
            &["database", "operation", "kind"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { durations, failures })
    }

    pub(super) fn of(&self, part: Part, name: &'static str, statsd: Option<&Arc<Statsd>>) -> Operation {
        Operation {
            part,
            name,
            durations: self.durations.clone(),
            failures: self.failures.clone(),
            duration: OnceLock::new(),
            unavailable: OnceLock::new(),
            internal: OnceLock::new(),
            statsd: statsd.cloned(),
        }
    }
}

/// The figures of one operation, at hand.
pub struct Operation {
    part: Part,
    name: &'static str,
    durations: HistogramVec,
    failures: IntCounterVec,
    duration: OnceLock<Histogram>,
    unavailable: OnceLock<IntCounter>,
    internal: OnceLock<IntCounter>,
    statsd: Option<Arc<Statsd>>,
}

impl Operation {
    /// Does the work and takes its time.
    pub(super) async fn time<T, E: Failure>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = Instant::now();
        let result = work.await;
        self.note(started.elapsed(), result.as_ref().err().and_then(Failure::fault));
        result
    }

    fn note(&self, took: Duration, fault: Option<&Fault>) {
        let labels = [self.part.name(), self.name];
        self.duration.get_or_init(|| self.durations.with_label_values(&labels)).observe(took.as_secs_f64());
        if let Some(fault) = fault {
            let (counter, kind) = match fault {
                Fault::Unavailable(_) => (&self.unavailable, "unavailable"),
                Fault::Internal(_) => (&self.internal, "internal"),
            };
            counter.get_or_init(|| self.failures.with_label_values(&[labels[0], labels[1], kind])).inc();
        }
        if let Some(statsd) = &self.statsd {
            statsd.operation(self.part, self.name, took);
        }
    }
}

/// An error that may be the database's fault, rather than a refusal that the protocol foresees.
pub(super) trait Failure {
    fn fault(&self) -> Option<&Fault>;
}

impl Failure for DbError {
    fn fault(&self) -> Option<&Fault> {
        if let Self::Fault(fault) = self { Some(fault) } else { None }
    }
}

impl Failure for TokenError {
    fn fault(&self) -> Option<&Fault> {
        if let Self::Fault(fault) = self { Some(fault) } else { None }
    }
}

impl Failure for Fault {
    fn fault(&self) -> Option<&Fault> {
        Some(self)
    }
}
