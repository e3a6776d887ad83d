//! The log: lines for people, or one JSON object a line for programs.
//!
//! Both go to the standard error stream, so that what a command prints is never mixed with them. A log that cannot be
//! written (a closed pipe, a full disk) is lost without a word: the server goes on.
//!
//! systemd's journal has a time and a priority of its own for each line: there lines begin with `<N>`, the priority as
//! syslog has it, which the journal takes off, and those for people have no time.

use std::io::{self, LineWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use slog::{Drain, FnValue, Level, Logger, OwnedKVList, PushFnValue, Record, SendSyncRefUnwindSafeDrain, o};
use slog_json::Json;
use slog_term::{CompactFormat, Decorator, PlainDecorator, TermDecorator};

use crate::settings::Settings;

/// The logger that all others come from, as `human_logs` and `log_level` say.
pub fn logger(settings: &Settings) -> Logger {
    if stderr_is_the_journal() {
        let out = LineWriter::new(io::stderr());
        return if settings.human_logs {
            root(Journal::new(out, human_without_time), settings.log_level)
        } else {
            root(Journal::new(out, json), settings.log_level)
        };
    }
    if settings.human_logs {
        // The decorator finds out whether it has a terminal, and leaves colours out otherwise.
        root(human(TermDecorator::new().stderr().build()), settings.log_level)
    } else {
        root(json(LineWriter::new(io::stderr())), settings.log_level)
    }
}

fn root<D>(drain: D, level: Level) -> Logger
where
    D: Drain<Err = io::Error> + Send + 'static,
    slog::IgnoreResult<slog::LevelFilter<Mutex<D>>>: SendSyncRefUnwindSafeDrain<Ok = (), Err = slog::Never>,
{
    Logger::root(Mutex::new(drain).filter_level(level).ignore_res(), o!())
}

fn human<D: Decorator>(decorator: D) -> CompactFormat<D> {
    CompactFormat::new(decorator).use_custom_timestamp(|out| write!(out, "{}", rfc3339(SystemTime::now()))).build()
}

/// Whether what is written to the standard error stream goes to systemd's journal, and nowhere else: systemd says so in
/// `JOURNAL_STREAM`, by device and inode, since a child may be given another stream.
pub(crate) fn stderr_is_the_journal() -> bool {
    let Some(named) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stderr) = rustix::fs::fstat(io::stderr()) else { return false };
    named == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

fn human_without_time(out: Buffer) -> CompactFormat<PlainDecorator<Buffer>> {
    CompactFormat::new(PlainDecorator::new(out)).use_custom_timestamp(|_| Ok(())).build()
}

/// Writes records for the journal: each line with its priority.
struct Journal<D, W> {
    format: D,
    buffer: Buffer,
    out: Mutex<W>,
}

impl<D, W> Journal<D, W> {
    fn new(out: W, format: impl FnOnce(Buffer) -> D) -> Self {
        let buffer = Buffer::default();
        Self { format: format(buffer.clone()), buffer, out: Mutex::new(out) }
    }
}

impl<D: Drain<Ok = (), Err = io::Error>, W: Write> Drain for Journal<D, W> {
    type Ok = ();
    type Err = io::Error;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> io::Result<()> {
        self.format.log(record, values)?;
        let text = std::mem::take(&mut *lock(&self.buffer.0));
        let priority = priority(record.level());
        let mut out = lock(&self.out);
        for line in String::from_utf8_lossy(&text).lines() {
            writeln!(out, "<{priority}>{}", line.trim_start())?;
        }
        Ok(())
    }
}

/// As syslog has it.
const fn priority(level: Level) -> u8 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// What a record is written to before it goes out.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn json<W: Write>(out: W) -> Json<W> {
    Json::new(out)
        .add_key_value(o!(
            "time" => FnValue(|_| rfc3339(SystemTime::now())),
            "level" => FnValue(|record| record.level().as_str().to_ascii_lowercase()),
            "msg" => PushFnValue(|record, serializer| serializer.emit(record.msg())),
        ))
        .build()
}

/// A time in UTC by RFC 3339 with milliseconds, such as `2013-12-28T12:23:27.410Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let (year, month, day) = civil_date(days);
    let (hour, minute, second, ms) = (second / 3600, second / 60 % 60, second % 60, since_epoch.subsec_millis());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of so many days since 1970-01-01.
const fn civil_date(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day is the last one of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, months have 31, 30, 31, 30, 31 days in turn: 153 in five of them.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) = if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slog::{debug, error, info};

    use super::*;

    impl Buffer {
        fn text(&self) -> String {
            String::from_utf8(lock(&self.0).clone()).unwrap()
        }
    }

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    fn is_time(text: &str) -> bool {
        text.len() == 24 && text.starts_with('2') && text.ends_with('Z')
    }

    #[test]
    fn json_has_one_object_a_line_with_time_level_message_and_fields() {
        let out = Buffer::default();
        let log = root(json(out.clone()), Level::Info).new(o!("uid" => 7));
        debug!(log, "not seen");
        info!(log, "two\nlines"; "size_bytes" => 12, "reason" => "\"why\"");
        error!(log, "more");
        let lines: Vec<serde_json::Value> =
            out.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert!(is_time(lines[0]["time"].as_str().unwrap()));
        let fields = |line: &serde_json::Value| {
            let mut line = line.clone();
            line.as_object_mut().unwrap().remove("time");
            line
        };
        let first = serde_json::json!({
            "level": "info", "msg": "two\nlines", "uid": 7, "size_bytes": 12, "reason": "\"why\""
        });
        assert_eq!(fields(&lines[0]), first);
        assert_eq!(fields(&lines[1]), serde_json::json!({"level": "error", "msg": "more", "uid": 7}));
    }

    #[test]
    fn people_get_one_line_a_record() {
        let out = Buffer::default();
        let log = root(human(PlainDecorator::new(out.clone())), Level::Debug);
        debug!(log, "a message"; "size_bytes" => 12);
        let text = out.text();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(is_time(time), "{time}");
        assert_eq!(rest, "DEBG a message, size_bytes: 12\n");
    }

    #[test]
    fn the_journal_gets_each_line_with_its_priority_and_no_time() {
        let out = Buffer::default();
        let log = root(Journal::new(out.clone(), human_without_time), Level::Debug);
        info!(log, "a message"; "size_bytes" => 12);
        error!(log, "two\nlines");
        assert_eq!(out.text(), "<6>INFO a message, size_bytes: 12\n<3>ERRO two\n<3>lines\n");
        let out = Buffer::default();
        let log = root(Journal::new(out.clone(), json), Level::Debug);
        debug!(log, "two\nlines");
        let text = out.text();
        let line: serde_json::Value = serde_json::from_str(text.strip_prefix("<7>").unwrap()).unwrap();
        assert_eq!(line["msg"], "two\nlines");
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        for log in [root(json(Closed), Level::Info), root(human(PlainDecorator::new(Closed)), Level::Info)] {
            info!(log, "lost"; "a" => 1);
            info!(log, "lost too");
        }
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_388_233_407_410, "2013-12-28T12:23:27.410Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(ms)), text);
        }
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }
}
