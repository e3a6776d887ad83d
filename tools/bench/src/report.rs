//! What is printed at the end.

use crate::meter::Spent;
use crate::worker::Tally;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The names of the rows of scenario `pages`.
pub(crate) const FIRST_PAGE: &str = "first page";
pub(crate) const LATER_PAGE: &str = "page at depth";

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// From the spawn of the server to its first answer, with a database that it had to make.
    pub(crate) first_start_ms: Option<f64>,
    /// The same with one that was there.
    pub(crate) next_start_ms: Option<f64>,
    /// From the signal to stop to the end of the process, after all scenarios.
    pub(crate) stop_ms: Option<f64>,
    /// Statements that the database carried out without a Sync server before it.
    pub(crate) bare: Vec<Row>,
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
    /// The same of the database server, all its processes together.
    pub(crate) database_cpu_us: Option<f64>,
    pub(crate) client_cpu_us: f64,
    pub(crate) rss_kb: Option<u64>,
    pub(crate) peak_kb: Option<u64>,
    /// Whether the peak is of this scenario, or of all since the server started.
    pub(crate) is_peak_of_scenario: bool,
    /// Beside a bare statement of the same kind.
    pub(crate) beside_bare: Option<BesideBare>,
}

/// A scenario beside what the database does without a Sync server before it.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct BesideBare {
    /// Requests a second by statements a second.
    pub(crate) rate: f64,
    /// CPU time of the database for a request by that for a statement. Nothing where the clock was too coarse.
    pub(crate) database_cpu: Option<f64>,
}

impl Row {
    /// Sums up. The first failure goes to whoever looks on.
    pub(crate) fn new(name: &str, mut tally: Tally, spent: Spent) -> Row {
        if let Some(failure) = &tally.first_failure {
            eprintln!("{} failed, the first: {failure}", tally.failed);
        }
        tally.latencies.sort_unstable();
        let requests = tally.latencies.len();
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / requests.max(1) as f64;
        let seconds = spent.elapsed.as_secs_f64();
        Row {
            scenario: name.to_owned(),
            requests,
            failed: tally.failed,
            requests_per_second: requests as f64 / seconds,
            records_per_second: tally.records as f64 / seconds,
            p50_ms: quantile(&tally.latencies, 0.50),
            p99_ms: quantile(&tally.latencies, 0.99),
            max_ms: quantile(&tally.latencies, 1.0),
            server_cpu_us: spent.server.map(each),
            database_cpu_us: spent.database.map(each),
            client_cpu_us: each(spent.own),
            rss_kb: None,
            peak_kb: None,
            is_peak_of_scenario: false,
            beside_bare: None,
        }
    }

    /// Compares it with what the database does by itself.
    pub(crate) fn set_beside(&mut self, bare: &Row) {
        self.beside_bare = ratio(self.requests_per_second, bare.requests_per_second)
            .map(|rate| BesideBare { rate, database_cpu: self.database_time_by(bare) });
    }

    /// The CPU time of the Sync server for a request, and of the database server if there is one.
    fn cpu_us(&self) -> Option<f64> {
        Some(self.server_cpu_us? + self.database_cpu_us.unwrap_or(0.0))
    }

    /// The database's CPU time for a request by that for a request of the other.
    fn database_time_by(&self, other: &Row) -> Option<f64> {
        ratio(self.database_cpu_us?, other.database_cpu_us?)
    }
}

/// How many times the second the first is.
fn ratio(first: f64, second: f64) -> Option<f64> {
    (second > 0.0).then(|| first / second)
}

/// The value that this share of the sorted ones does not exceed, in ms.
fn quantile(sorted: &[u32], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
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
        self.bare.iter().chain(&self.rows).all(|row| row.failed == 0 && row.requests > 0)
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
        if self.bare.len() + self.rows.len() > 0 {
            self.write_head(f)?;
        }
        for row in self.bare.iter().chain(&self.rows) {
            self.write_row(row, f)?;
        }
        self.write_comparisons(f)?;
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

impl Report {
    /// Whether there is a database server to tell of.
    fn has_database(&self) -> bool {
        !self.bare.is_empty()
    }

    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {:>9} {:>10}", "scenario", "req/s", "records/s")?;
        write!(f, " {:>8} {:>8} {:>8} {:>6} {:>10}", "p50 ms", "p99 ms", "max ms", "failed", "server µs")?;
        if self.has_database() {
            write!(f, " {:>8}", "db µs")?;
        }
        write!(f, " {:>10} {:>7} {:>8}", "client µs", "RSS MB", "peak MB")?;
        if self.has_database() {
            write!(f, " {:>7} {:>7}", "rate ×", "db ×")?;
        }
        writeln!(f)
    }

    fn write_row(&self, row: &Row, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |micros| format!("{micros:.0}"));
        let times = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |times| format!("{times:.2}"));
        write!(f, "{:<14} {:>9.0} {:>10.0}", row.scenario, row.requests_per_second, row.records_per_second)?;
        write!(f, " {:>8.2} {:>8.2} {:>8.2} {:>6}", row.p50_ms, row.p99_ms, row.max_ms, row.failed)?;
        write!(f, " {:>10}", micros(row.server_cpu_us))?;
        if self.has_database() {
            write!(f, " {:>8}", micros(row.database_cpu_us))?;
        }
        write!(f, " {:>10.0} {:>7}", row.client_cpu_us, megabytes(row.rss_kb))?;
        write!(f, " {:>8}", peak(row.peak_kb, row.is_peak_of_scenario))?;
        if self.has_database() {
            let beside = row.beside_bare.as_ref();
            write!(f, " {:>7}", times(beside.map(|beside| beside.rate)))?;
            write!(f, " {:>7}", times(beside.and_then(|beside| beside.database_cpu)))?;
        }
        writeln!(f)
    }

    /// What is to be seen only when two scenarios are held beside each other.
    fn write_comparisons(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let find = |name: &str| self.rows.iter().find(|row| row.scenario == name);
        if let (Some(one), Some(hundred)) = (find("post1"), find("post100"))
            && let Some(times) = hundred.database_time_by(one)
        {
            writeln!(f, "POST of 100 records: {times:.1} times the database's CPU time of a POST of 1")?;
        }
        if let (Some(first), Some(later)) = (find(FIRST_PAGE), find(LATER_PAGE))
            && let Some(rate) = ratio(later.requests_per_second, first.requests_per_second)
        {
            write!(f, "page at depth: {rate:.2} times the requests a second of the first page")?;
            if let Some(cpu) = later.cpu_us().zip(first.cpu_us()).and_then(|(later, first)| ratio(later, first)) {
                write!(f, ", {cpu:.2} times the CPU time of servers for each")?;
            }
            writeln!(f)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests in two seconds, each of which takes the database so long.
    fn row(name: &str, requests: usize, database_us: u64) -> Row {
        let tally = Tally { latencies: vec![1500; requests], records: 3 * requests as u64, ..Tally::default() };
        let spent = Spent {
            elapsed: Duration::from_secs(2),
            server: Some(Duration::from_micros(20 * requests as u64)),
            database: Some(Duration::from_micros(database_us * requests as u64)),
            own: Duration::from_micros(7 * requests as u64),
        };
        Row::new(name, tally, spent)
    }

    #[test]
    fn a_row_has_what_one_request_cost() {
        let row = row("x", 500, 80);
        assert_eq!((row.requests, row.requests_per_second, row.records_per_second), (500, 250.0, 750.0));
        assert_eq!(row.p50_ms, 1.5);
        assert!((row.server_cpu_us.unwrap() - 20.0).abs() < 1e-6);
        assert!((row.database_cpu_us.unwrap() - 80.0).abs() < 1e-6 && (row.client_cpu_us - 7.0).abs() < 1e-6);
    }

    #[test]
    fn a_scenario_is_told_in_multiples_of_the_bare_statement() {
        let mut scenario = row("bso", 500, 80);
        scenario.set_beside(&row("bare select", 2000, 20));
        let beside = scenario.beside_bare.unwrap();
        assert_eq!(beside.rate, 0.25);
        assert!((beside.database_cpu.unwrap() - 4.0).abs() < 1e-6);
    }

    #[test]
    fn nothing_is_told_in_multiples_of_nothing() {
        let mut scenario = row("bso", 500, 80);
        scenario.set_beside(&row("bare select", 2000, 0));
        assert_eq!(scenario.beside_bare, Some(BesideBare { rate: 0.25, database_cpu: None }));
        scenario.set_beside(&row("bare select", 0, 0));
        assert_eq!(scenario.beside_bare, None);
    }

    #[test]
    fn scenarios_are_held_beside_each_other_and_columns_of_a_database_are_there_with_one() {
        let mut report = Report { rows: vec![row("post1", 10, 50), row("post100", 10, 1000)], ..Report::default() };
        report.rows.extend([row(FIRST_PAGE, 100, 5), row(LATER_PAGE, 90, 10)]);
        let text = report.to_string();
        assert!(text.contains("POST of 100 records: 20.0 times"), "{text}");
        assert!(text.contains("page at depth: 0.90 times") && text.contains(", 1.20 times the CPU time"), "{text}");
        assert!(!text.contains("db µs"), "{text}");
        report.bare.push(row("bare select", 10, 5));
        let text = report.to_string();
        let width = |line: &str| line.chars().count();
        let lines: Vec<&str> = text.lines().take(6).collect();
        assert!(lines[0].contains("db µs") && lines.iter().all(|line| width(line) == width(lines[0])), "{text}");
    }

    #[test]
    fn a_failure_or_nothing_done_is_no_good_report() {
        let report = |row| Report { bare: vec![row], ..Report::default() };
        assert!(report(row("x", 1, 1)).is_good());
        assert!(!report(row("x", 0, 1)).is_good());
        assert!(!report(Row { failed: 1, ..row("x", 1, 1) }).is_good());
    }

    #[test]
    fn quantiles_are_values_that_occurred() {
        let sorted: Vec<u32> = (1..=200).map(|n| n * 1000).collect();
        assert_eq!(quantile(&sorted, 0.5), 100.0);
        assert_eq!(quantile(&sorted, 0.99), 198.0);
        assert_eq!(quantile(&sorted, 1.0), 200.0);
        assert_eq!(quantile(&[7000], 0.5), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
