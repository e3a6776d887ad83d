//! The log: lines for people, or one JSON object a line for programs.
//!
//! Both go to the standard error stream, so that what a command prints is never mixed with them. A thread of its own writes
//! them, so that nobody waits for a log that is not read, or not as fast as it grows: what is too much is left out, and
//! the log says how many lines. A log that cannot be written at all (a closed pipe, a full disk) is lost without a word.
//! In any case the server goes on.
//!
//! systemd's journal has a time and a priority of its own for each line: there lines begin with `<N>`, the priority as
//! syslog has it, which the journal takes off, and those for people have no time.

use std::io::{self, LineWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use slog::{Drain, FnValue, Level, Logger, OwnedKVList, PushFnValue, Record, o};
use slog_async::{Async, AsyncGuard, OverflowStrategy};
use slog_json::Json;
use slog_term::{CompactFormat, Decorator, PlainDecorator, TermDecorator};
use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::settings::Settings;

/// So many lines may wait to be written.
const WAITING: usize = 4096;

/// So long the end of the program waits for those that are left.
const AT_THE_END: Duration = Duration::from_secs(2);

/// The logger that all others come from, as `human_logs` and `log_level` say, and what has to be kept for as long as it is
/// used.
pub fn logger(settings: &Settings) -> (Logger, Writing) {
    let out = || LineWriter::new(io::stderr());
    let level = settings.log_level;
    match (stderr_is_the_journal(), settings.human_logs) {
        (true, true) => root(Journal::new(out(), human_without_time), level),
        (true, false) => root(Journal::new(out(), json), level),
        // The decorator finds out whether it has a terminal, and leaves colours out otherwise.
        (false, true) => root(human(TermDecorator::new().stderr().build()), level),
        (false, false) => root(json(out()), level),
    }
}

fn root<D: Drain<Err = io::Error> + Send + 'static>(drain: D, level: Level) -> (Logger, Writing) {
    let (drain, guard) = Async::new(drain.ignore_res())
        .chan_size(WAITING)
        .overflow_strategy(OverflowStrategy::DropAndReport)
        .thread_name("log".into())
        .build_with_guard();
    (Logger::root(drain.filter_level(level).ignore_res(), o!()), Writing(Some(guard)))
}

/// The thread that writes the log. Dropping this waits until all is written, or for two seconds.
#[must_use = "what is not yet written when the program ends is lost"]
pub struct Writing(Option<AsyncGuard>);

impl Drop for Writing {
    fn drop(&mut self) {
        let guard = self.0.take();
        let (done, is_done) = mpsc::channel::<()>();
        let waiting = std::thread::Builder::new().spawn(move || {
            drop(guard);
            drop(done);
        });
        if waiting.is_ok() {
            // Both are fine: that it ends, and that it takes too long.
            let _ = is_done.recv_timeout(AT_THE_END);
        }
    }
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

pub(crate) const RFC_3339: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A time in UTC by RFC 3339 with milliseconds, such as `2013-12-28T12:23:27.410Z`; one before the epoch is the epoch.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    // What cannot be formatted is a year that no clock has.
    OffsetDateTime::from(time.max(UNIX_EPOCH)).format(RFC_3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
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
        let (log, writing) = root(json(out.clone()), Level::Info);
        let log = log.new(o!("uid" => 7));
        debug!(log, "not seen");
        info!(log, "two\nlines"; "size_bytes" => 12, "reason" => "\"why\"");
        error!(log, "more");
        drop(writing);
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
        let (log, writing) = root(human(PlainDecorator::new(out.clone())), Level::Debug);
        debug!(log, "a message"; "size_bytes" => 12);
        drop(writing);
        let text = out.text();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(is_time(time), "{time}");
        assert_eq!(rest, "DEBG a message, size_bytes: 12\n");
    }

    #[test]
    fn the_journal_gets_each_line_with_its_priority_and_no_time() {
        let out = Buffer::default();
        let (log, writing) = root(Journal::new(out.clone(), human_without_time), Level::Debug);
        info!(log, "a message"; "size_bytes" => 12);
        error!(log, "two\nlines");
        drop(writing);
        assert_eq!(out.text(), "<6>INFO a message, size_bytes: 12\n<3>ERRO two\n<3>lines\n");
        let out = Buffer::default();
        let (log, writing) = root(Journal::new(out.clone(), json), Level::Debug);
        debug!(log, "two\nlines");
        drop(writing);
        let text = out.text();
        let line: serde_json::Value = serde_json::from_str(text.strip_prefix("<7>").unwrap()).unwrap();
        assert_eq!(line["msg"], "two\nlines");
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody() {
        for (log, _writing) in [root(json(Closed), Level::Info), root(human(PlainDecorator::new(Closed)), Level::Info)]
        {
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
