//! Error reports to Sentry, when the operator has named a project: answers with a status of 5xx, and panics.
//!
//! A report says what failed and where in the program, and nothing of whom it failed for: no address, no token, no path
//! but the route's pattern, and no word of the reason that may be somebody's. Who wants to know more finds the whole line
//! in the log by the id of the request.

use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sentry::protocol::{Event, Exception, Level};
use sentry::{Client, ClientOptions};
use slog::Logger;

use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::web::ops::VERSION;
use crate::web::route::Route;

/// At most so many reports in [`WINDOW`]: a database that is away fails every request, and one report of it will do.
const MOST_REPORTS: u32 = 30;

/// See [`MOST_REPORTS`].
const WINDOW: Duration = Duration::from_secs(60);

/// How long the end of the program waits for reports to be sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest word of a reason that is believed to be a word.
const MAX_WORD: usize = 24;

/// A request that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Where it went.
    pub route: Route,
    /// Its method.
    pub method: &'a str,
    /// The status of its answer.
    pub status: u16,
    /// Why, as it stands in the log.
    pub reason: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
}

/// Reports errors.
pub struct Reporter {
    client: Client,
    metrics: Arc<Metrics>,
    budget: Mutex<Budget>,
}

impl Reporter {
    /// `None` where nobody wants reports.
    #[must_use]
    pub fn new(settings: &Settings, metrics: &Arc<Metrics>) -> Option<Self> {
        let dsn = settings.sentry_dsn.as_ref()?;
        let options = ClientOptions::new()
            .dsn(dsn.expose())
            .release(concat!("syncserver@", env!("CARGO_PKG_VERSION")))
            .environment(settings.environment.clone())
            .default_integrations(false)
            .send_default_pii(false)
            .shutdown_timeout(PATIENCE);
        let client = Client::from_config(sentry::apply_defaults(options));
        Some(Self { client, metrics: Arc::clone(metrics), budget: Mutex::new(Budget::new(Instant::now())) })
    }

    /// Reports a request that was answered 5xx.
    pub fn failed(&self, failed: &Failed<'_>) {
        let message = without_personal_data(failed.reason);
        let mut event = Event {
            level: Level::Error,
            fingerprint: vec![message.clone().into(), failed.route.pattern().into()].into(),
            message: Some(message),
            transaction: Some(format!("{} {}", failed.method, failed.route.pattern())),
            ..Event::default()
        };
        event.tags.insert("route".into(), failed.route.pattern().into());
        event.tags.insert("method".into(), failed.method.into());
        event.tags.insert("status".into(), failed.status.to_string());
        event.tags.insert("request_id".into(), failed.request_id.into());
        self.send(event);
    }

    fn panicked(&self, message: &str, location: &str) {
        let exception =
            Exception { ty: "panic".into(), value: Some(without_personal_data(message)), ..Exception::default() };
        let mut event = Event { level: Level::Fatal, exception: vec![exception].into(), ..Event::default() };
        event.culprit = Some(location.to_owned());
        event.tags.insert("location".into(), location.to_owned());
        self.send(event);
    }

    /// Puts it into a queue, from which a thread of its own sends it.
    fn send(&self, event: Event<'static>) {
        let sent = self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if sent {
            self.client.capture_event(event, None);
        }
        self.metrics.reported(sent);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.client.close(Some(PATIENCE));
    }
}

/// How many reports may still be sent.
#[derive(Debug)]
struct Budget {
    since: Instant,
    sent: u32,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self { since: now, sent: 0 }
    }

    fn take(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        self.sent += 1;
        self.sent <= MOST_REPORTS
    }
}

/// From now on a panic is a line of the log, as any other error, is counted, and is reported.
pub fn watch_panics(log: Logger, metrics: Arc<Metrics>, reporter: Option<Arc<Reporter>>) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let (reason, location) = (message(info), location(info));
        slog::crit!(log, "panic"; "reason" => &reason, "location" => &location, "version" => VERSION);
        metrics.panicked();
        if let Some(reporter) = &reporter {
            reporter.panicked(&reason, &location);
        }
        // Who asks for the stack gets it, in the usual form.
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            usual(info);
        }
    }));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.unwrap_or("(no message)").to_owned()
}

/// File and line, without the folders of the machine that it was built on.
fn location(info: &PanicHookInfo<'_>) -> String {
    let Some(location) = info.location() else { return "(unknown)".to_owned() };
    let mut parts: Vec<&str> = location.file().rsplit('/').take(4).collect();
    parts.reverse();
    format!("{}:{}", parts.join("/"), location.line())
}

/// A reason, of which only plain words are left: whatever is quoted, has a digit or any other sign in it, or is long, may be
/// a name, an address, an id, a path or a token.
fn without_personal_data(reason: &str) -> String {
    let mut kept = String::with_capacity(reason.len());
    let mut quote = None;
    let mut word = String::new();
    for c in reason.chars().chain([' ']) {
        if let Some(end) = quote {
            if c == end {
                quote = None;
            }
            continue;
        }
        let opens = match c {
            '"' | '`' => Some(c),
            // Within a word it is an apostrophe.
            '\'' if word.is_empty() => Some(c),
            '“' => Some('”'),
            _ => None,
        };
        let ends_word =
            c.is_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | ',' | ';' | '=');
        if opens.is_none() && !ends_word {
            word.push(c);
            continue;
        }
        kept.push_str(plain(&word));
        word.clear();
        if opens.is_some() {
            kept.push('…');
            quote = opens;
        } else {
            kept.push(if c.is_whitespace() { ' ' } else { c });
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// A word that is nothing but a word, else a sign in its place.
fn plain(word: &str) -> &str {
    let bare = word.trim_matches(|c: char| matches!(c, '.' | ':' | '!' | '?'));
    let is_word = bare.len() <= MAX_WORD
        && bare.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '\'' | '’' | '.'));
    if is_word { word } else { "#" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_reason_only_plain_words_are_left() {
        for (reason, kept) in [
            ("the database is not available: no space left", "the database is not available: no space left"),
            (
                "all 10 database connections were in use for 30 s (setting: database_pool_max_size)",
                "all # database connections were in use for # s (setting: database_pool_max_size)",
            ),
            ("Key (user_id, collection)=(7, 3) already exists.", "Key (user_id, collection)=(#, #) already exists."),
            ("the account's id is \"0123abc\"; it isn't", "the account's id is …; it isn't"),
            ("user someone@example.com from 192.0.2.1, 2001:db8::1, fe::aa", "user # from #, #, #"),
            ("GET /1.5/7/storage/tabs of http://localhost/x", "GET # of #"),
            ("token abcdefghijklmnopqrstuvwxyzabcdef 'a b' `c`", "token # … …"),
            ("open \"never closed 7", "open …"),
            ("", ""),
        ] {
            assert_eq!(without_personal_data(reason), kept);
        }
    }

    #[test]
    fn a_flood_of_errors_is_a_few_reports_a_minute() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..100).filter(|_| budget.take(start)).count(), 30);
        assert!(!budget.take(start + Duration::from_secs(59)));
        assert!(budget.take(start + Duration::from_secs(60)));
    }
}
