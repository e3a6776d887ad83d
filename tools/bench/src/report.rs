//! What is printed at the end.

use serde::Serialize;
use std::fmt;

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// From the spawn of the server to its first answer, with a database that it had to make.
    pub(crate) first_start_ms: Option<f64>,
    /// The same with one that was there.
    pub(crate) next_start_ms: Option<f64>,
    /// From the signal to stop to the end of the process, after all scenarios.
    pub(crate) stop_ms: Option<f64>,
    pub(crate) rows: Vec<Row>,
    pub(crate) big: Option<Big>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) requests: usize,
    pub(crate) failed: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) records_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// CPU time per request.
    pub(crate) server_cpu_us: Option<f64>,
    pub(crate) client_cpu_us: f64,
    pub(crate) rss_kb: Option<u64>,
    pub(crate) peak_kb: Option<u64>,
    /// Whether the peak is of this scenario, or of all since the server started.
    pub(crate) is_peak_of_scenario: bool,
}

/// The scenario with one large answer.
#[derive(Debug, Serialize)]
pub(crate) struct Big {
    pub(crate) records: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) upload_seconds: f64,
    pub(crate) readers: Vec<BigReader>,
}

/// One reader of that answer.
#[derive(Debug, Serialize)]
pub(crate) struct BigReader {
    pub(crate) reader: &'static str,
    pub(crate) seconds: f64,
    pub(crate) megabytes: f64,
    /// The server's memory before the request, and the most it had until its end.
    pub(crate) rss_before_kb: Option<u64>,
    pub(crate) peak_kb: Option<u64>,
    pub(crate) is_peak_of_reader: bool,
    /// What was wrong with the answer.
    pub(crate) fault: Option<String>,
}

impl Report {
    /// Whether every request was answered as it should be.
    pub(crate) fn is_good(&self) -> bool {
        let readers = self.big.iter().flat_map(|big| &big.readers);
        // A scenario without a request has measured nothing.
        self.rows.iter().all(|row| row.failed == 0 && row.requests > 0)
            && readers.into_iter().all(|r| r.fault.is_none())
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, value) in [
            ("first start (database made)", self.first_start_ms),
            ("next start", self.next_start_ms),
            ("stop", self.stop_ms),
        ] {
            if let Some(value) = value {
                writeln!(f, "{what}: {value:.0} ms")?;
            }
        }
        if !self.rows.is_empty() {
            writeln!(
                f,
                "{:<14} {:>9} {:>10} {:>8} {:>8} {:>8} {:>6} {:>10} {:>10} {:>7} {:>8}",
                "scenario",
                "req/s",
                "records/s",
                "p50 ms",
                "p99 ms",
                "max ms",
                "failed",
                "server µs",
                "client µs",
                "RSS MB",
                "peak MB"
            )?;
        }
        for row in &self.rows {
            writeln!(
                f,
                "{:<14} {:>9.0} {:>10.0} {:>8.2} {:>8.2} {:>8.2} {:>6} {:>10} {:>10.0} {:>7} {:>8}",
                row.scenario,
                row.requests_per_second,
                row.records_per_second,
                row.p50_ms,
                row.p99_ms,
                row.max_ms,
                row.failed,
                row.server_cpu_us.map_or_else(|| "-".to_owned(), |micros| format!("{micros:.0}")),
                row.client_cpu_us,
                megabytes(row.rss_kb),
                peak(row.peak_kb, row.is_peak_of_scenario)
            )?;
        }
        if let Some(big) = &self.big {
            let Big { records, payload_bytes, upload_seconds, readers } = big;
            writeln!(f, "big: {records} records of {payload_bytes} bytes, uploaded in {upload_seconds:.1} s")?;
            for reader in readers {
                writeln!(
                    f,
                    "  {} reader: {:.0} MB in {:.2} s; server {} MB before, peak {} MB; {}",
                    reader.reader,
                    reader.megabytes,
                    reader.seconds,
                    megabytes(reader.rss_before_kb),
                    peak(reader.peak_kb, reader.is_peak_of_reader),
                    reader.fault.as_deref().unwrap_or("every record came once")
                )?;
            }
        }
        Ok(())
    }
}

fn megabytes(kb: Option<u64>) -> String {
    kb.map_or_else(|| "-".to_owned(), |kb| format!("{:.1}", kb as f64 / 1024.0))
}

/// A star marks a peak that may be an earlier one.
fn peak(kb: Option<u64>, is_own: bool) -> String {
    let star = if kb.is_none() || is_own { "" } else { "*" };
    format!("{}{star}", megabytes(kb))
}
