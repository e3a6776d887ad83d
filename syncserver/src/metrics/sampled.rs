//! Figures that are there already, and are read when somebody asks: the state of pools and writers, of the process, of
//! the accounts server's keys.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use syncstorage_db_common::PoolStatus;

use super::process::{Process, now_seconds};
use crate::backend::{COMMIT_SIZES, Probe, WriterStatus};

/// Tells how old the accounts server's keys are; `None` where they are not fetched, or have not been so far.
pub type KeysAge = Box<dyn Fn() -> Option<Duration> + Send + Sync>;

/// Where the figures are read.
pub(super) struct Sampled {
    sources: OnceLock<Sources>,
    started: f64,
}

struct Sources {
    probes: Vec<Probe>,
    keys_age: Option<KeysAge>,
}

impl Sampled {
    pub(super) fn new() -> Self {
        Self { sources: OnceLock::new(), started: now_seconds() }
    }

    /// Takes note of what there is to ask. Only the first time counts.
    pub(super) fn watch(&self, probes: Vec<Probe>, keys_age: Option<KeysAge>) {
        let _ = self.sources.set(Sources { probes, keys_age });
    }

    pub(super) fn pools(&self) -> Vec<(&'static str, PoolStatus)> {
        let probes = self.sources.get().map_or(&[][..], |sources| &sources.probes);
        probes.iter().filter_map(|probe| Some((probe.name, (probe.pool)()?))).collect()
    }

    pub(super) fn writers(&self) -> Vec<(&'static str, WriterStatus)> {
        let probes = self.sources.get().map_or(&[][..], |sources| &sources.probes);
        probes.iter().filter_map(|probe| Some((probe.name, probe.writer.as_ref()?()?))).collect()
    }

    pub(super) fn keys_age(&self) -> Option<Duration> {
        self.sources.get()?.keys_age.as_ref()?()
    }
}

/// What Prometheus asks.
pub(super) struct SampledCollector(pub(super) Arc<Sampled>);

impl Collector for SampledCollector {
    /// None of them can be registered by anybody else, so that nobody has to be told of them.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        pools(&self.0.pools(), &mut families);
        writers(&self.0.writers(), &mut families);
        let age = self.0.keys_age().map(|age| plain(age.as_secs_f64()));
        families.push(gauges(
            "syncserver_tokenserver_jwks_age_seconds",
            "Time since the keys of the accounts server were fetched.",
            age.into_iter().collect(),
        ));
        process(self.0.started, &mut families);
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

type Labels = Vec<LabelPair>;

fn pools(pools: &[(&'static str, PoolStatus)], families: &mut Vec<MetricFamily>) {
    let each = |value: fn(&PoolStatus) -> usize| {
        pools.iter().map(|(name, status)| (database(name), value(status) as f64)).collect::<Vec<_>>()
    };
    families.extend([
        gauges("syncserver_pool_connections_in_use", "Connections to the database in use.", each(|pool| pool.in_use)),
        gauges("syncserver_pool_connections_idle", "Connections to the database not in use.", each(|pool| pool.idle)),
        gauges("syncserver_pool_connections_max", "The most connections there may be.", each(|pool| pool.max)),
        gauges("syncserver_pool_waiting", "Operations that wait for a connection.", each(|pool| pool.waiting)),
        counters(
            "syncserver_pool_refusals_total",
            "Operations refused because no connection became free in time.",
            pools.iter().map(|(name, status)| (database(name), status.refused as f64)).collect(),
        ),
    ]);
}

fn writers(writers: &[(&'static str, WriterStatus)], families: &mut Vec<MetricFamily>) {
    let each = |value: fn(&WriterStatus) -> u64| {
        writers.iter().map(|(name, status)| (database(name), value(status) as f64)).collect::<Vec<_>>()
    };
    families.extend([
        gauges("syncserver_sqlite_writer_queue_length", "Writes that wait for the one that writes.", {
            each(|writer| writer.queued as u64)
        }),
        gauges("syncserver_sqlite_writer_queue_capacity", "The most writes that may wait.", {
            each(|writer| writer.capacity as u64)
        }),
        counters("syncserver_sqlite_failed_commits_total", "Transactions that failed, with all writes in them.", {
            each(|writer| writer.failed_commits)
        }),
        family(
            "syncserver_sqlite_commit_writes",
            "Writes that share one transaction, and one wait for the disk.",
            MetricType::HISTOGRAM,
            writers.iter().map(|(name, status)| commit_sizes(database(name), status)).collect(),
        ),
    ]);
}

fn commit_sizes(labels: Labels, status: &WriterStatus) -> Metric {
    let mut count = 0;
    let buckets = COMMIT_SIZES.iter().zip(status.commits).map(|(bound, commits)| {
        count += commits;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound as f64);
        bucket.set_cumulative_count(count);
        bucket
    });
    let buckets: Vec<_> = buckets.collect();
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(count);
    histogram.set_sample_sum(status.writes as f64);
    let mut metric = Metric::default();
    metric.set_label(labels);
    metric.set_histogram(histogram);
    metric
}

fn process(started: f64, families: &mut Vec<MetricFamily>) {
    let Some(process) = Process::read() else { return };
    let one = |name: &str, help: &str, value: f64| gauges(name, help, vec![plain(value)]);
    families.extend([
        counters("process_cpu_seconds_total", "CPU time of this process.", vec![plain(process.cpu_seconds)]),
        one("process_resident_memory_bytes", "Memory that this process uses.", process.resident_bytes),
        one("process_virtual_memory_bytes", "Address space of this process.", process.virtual_bytes),
        one("process_threads", "Threads of this process.", process.threads),
        one("process_open_fds", "Open files and connections of this process.", process.open_fds),
        one("process_start_time_seconds", "When this process began, in seconds since 1970.", started),
    ]);
    families.extend(process.max_fds.map(|max| one("process_max_fds", "The most open files and connections.", max)));
}

fn database(name: &str) -> Labels {
    let mut label = LabelPair::default();
    label.set_name("database".into());
    label.set_value(name.into());
    vec![label]
}

fn plain(value: f64) -> (Labels, f64) {
    (Vec::new(), value)
}

fn gauges(name: &str, help: &str, values: Vec<(Labels, f64)>) -> MetricFamily {
    let metrics = values.into_iter().map(|(labels, value)| {
        let (mut metric, mut gauge) = (Metric::default(), Gauge::default());
        gauge.set_value(value);
        metric.set_label(labels);
        metric.set_gauge(gauge);
        metric
    });
    family(name, help, MetricType::GAUGE, metrics.collect())
}

fn counters(name: &str, help: &str, values: Vec<(Labels, f64)>) -> MetricFamily {
    let metrics = values.into_iter().map(|(labels, value)| {
        let (mut metric, mut counter) = (Metric::default(), Counter::default());
        counter.set_value(value);
        metric.set_label(labels);
        metric.set_counter(counter);
        metric
    });
    family(name, help, MetricType::COUNTER, metrics.collect())
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}
