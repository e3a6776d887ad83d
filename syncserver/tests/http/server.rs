//! A server for a test, and a client for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use slog::{Drain, KV, Never, OwnedKVList, Record, Serializer};
use syncserver::settings::Settings;
use syncserver::{server, settings};
use syncstorage_db_common::testing::ManualClock;
use syncstorage_db_common::{Clock, Db};
use testclient::{Connection, Request, Response, Token};

use crate::store::Store;

/// The master secret of every test server.
pub(crate) const SECRET: &str = "a master secret for tests";

/// A running server. It stops when it is dropped.
pub(crate) struct TestServer {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// The storage behind it, for what cannot be asked over the wire. `None` only once it stops.
    pub(crate) storage: Option<Arc<dyn Db>>,
    /// Where it tells its metrics, if it was asked to.
    pub(crate) metrics: Option<SocketAddr>,
    log: Log,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    // Behind the server: it goes when nobody uses it any more.
    _store: Arc<Store>,
}

impl TestServer {
    /// With default settings, an empty database and the system's clock.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these variables of the environment.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_on(Arc::default(), Clock::system(), environment)
    }

    /// With these variables of the environment, on a store that is there already.
    pub(crate) fn start_again_on(store: &Arc<Store>, environment: &[(&str, &str)]) -> Self {
        Self::start_on(Arc::clone(store), Clock::system(), environment)
    }

    /// With a clock that the test moves. It begins at the true time, so that tokens are good.
    pub(crate) fn start_with_clock(environment: &[(&str, &str)]) -> (Self, ManualClock) {
        let clock = ManualClock::new(Clock::system().now().as_ms());
        (Self::start_on(Arc::default(), clock.clock(), environment), clock)
    }

    fn start_on(store: Arc<Store>, clock: Clock, environment: &[(&str, &str)]) -> Self {
        let mut variables = vec![
            ("SYNC_HOST", "127.0.0.1"),
            ("SYNC_PORT", "0"),
            ("SYNC_WORKERS", "2"),
            ("SYNC_MASTER_SECRET", SECRET),
            ("SYNC_PURGE_INTERVAL", "0"),
            ("SYNC_METRICS_LISTEN", "off"),
            ("SYNC_LOG_LEVEL", "debug"),
            // Nobody there: a test that needs an accounts server names one.
            ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "http://127.0.0.1:9"),
        ];
        variables.extend(store.variables());
        variables.retain(|(name, _)| !environment.iter().any(|(given, _)| given == name));
        variables.extend(environment);
        let settings = settings::load(None, variables).unwrap();
        Self::run(settings, clock, store)
    }

    /// With these settings, which name the store.
    pub(crate) fn run(settings: Settings, clock: Clock, store: Arc<Store>) -> Self {
        let log = Log::default();
        let (started, address) = mpsc::channel();
        let root = slog::Logger::root(log.clone().fuse(), slog::o!());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let running = server::start(settings, root, clock).await.unwrap();
                let addresses = (running.address, running.metrics_address);
                started.send((addresses, running.handle(), running.storage())).unwrap();
                running.serve().await.unwrap();
            });
        });
        let ((addr, metrics), handle, storage) = address.recv().expect("the server did not start; its thread says why");
        Self { addr, metrics, storage: Some(storage), log, handle, thread: Some(thread), _store: store }
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::connect(self.addr).await.unwrap()
    }

    /// A client that is signed in as the storage user `uid`, for longer than any test moves its clock.
    pub(crate) async fn user(&self, uid: u64) -> Client {
        let expires = testclient::now().as_secs() + 365 * 86_400;
        Client { connection: self.connect().await, token: Token::builder(SECRET, uid).expires(expires).build() }
    }

    /// What was logged so far, a line each: the level, the message, and the fields.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last line about a request that was refused or failed.
    pub(crate) fn last_refusal(&self) -> String {
        let line = self.log_lines().into_iter().rev().find(|line| line.contains("request "));
        line.expect("no request was refused so far")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.storage = None;
        let handle = self.handle.clone();
        let stopping = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(handle.stop(false));
        });
        let _ = stopping.join();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection with a token.
pub(crate) struct Client {
    /// The connection.
    pub(crate) connection: Connection,
    /// The token that every request is signed with.
    pub(crate) token: Token,
}

impl Client {
    /// Signs and sends a request. Its target begins behind `/1.5/<uid>`.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        build: impl FnOnce(Request) -> Request,
    ) -> Response {
        // A server that answers before it has read the body hangs up after that.
        if self.connection.is_closed() {
            let addr = format!("{}:{}", self.connection.host, self.connection.port).parse().unwrap();
            self.connection = Connection::connect(addr).await.unwrap();
        }
        let request = build(Request::new(method, self.token.path(target))).auth(&self.token);
        self.connection.send(&request).await.unwrap()
    }

    /// GET.
    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.send("GET", target, |request| request).await
    }

    /// PUT of a JSON body.
    pub(crate) async fn put(&mut self, target: &str, body: &str) -> Response {
        self.send("PUT", target, |request| json(request, body)).await
    }

    /// POST of a JSON body.
    pub(crate) async fn post(&mut self, target: &str, body: &str) -> Response {
        self.send("POST", target, |request| json(request, body)).await
    }

    /// DELETE.
    pub(crate) async fn delete(&mut self, target: &str) -> Response {
        self.send("DELETE", target, |request| request).await
    }
}

/// Gives a request a JSON body.
pub(crate) fn json(request: Request, body: &str) -> Request {
    request.header("Content-Type", "application/json").body(body)
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Drain for Log {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut line = Line(format!("{} {}", record.level(), record.msg()));
        let _ = record.kv().serialize(record, &mut line);
        let _ = values.serialize(record, &mut line);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        self.0.push_str(&format!(", {key}: {value}"));
        Ok(())
    }
}
