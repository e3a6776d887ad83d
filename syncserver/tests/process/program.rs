//! The binary, running.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testclient::Connection;

/// The program.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_syncserver");

/// The master secret of servers that do not make their own.
pub(crate) const SECRET: &str = "a master secret for tests";

/// How long anything may take that should be done at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for data, that goes with the test; and, where a test wants it, a database on a server.
pub(crate) struct Folder(TempDir, Option<testdb::Database>);

impl Folder {
    /// With SQLite in it.
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap(), None)
    }

    /// With the database that `TEST_BACKEND` names: `sqlite` (the default), `postgres` or `mysql`.
    pub(crate) fn on_backend() -> Self {
        let database = match std::env::var("TEST_BACKEND").as_deref() {
            Err(_) | Ok("" | "sqlite") => None,
            Ok("postgres") => Some(testdb::postgres()),
            Ok("mysql") => Some(testdb::mysql()),
            Ok(other) => panic!("TEST_BACKEND is {other:?}; it may be sqlite, postgres or mysql"),
        };
        Self(TempDir::new().unwrap(), database)
    }

    /// Whether the data is in a file of SQLite.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.1.is_none()
    }

    /// The data folder. The server makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// A path in the folder around the data folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The database.
    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("sync.db")
    }

    /// The master secret that the server makes.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.data().join("master_secret")
    }

    /// Makes a file around the data folder; its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The program with this folder for its data, with [`SECRET`], and with these variables of the environment besides.
    pub(crate) fn command(&self, environment: &[(&str, &str)]) -> Command {
        self.command_of(Command::new(BINARY), environment)
    }

    /// The same, started by another program.
    pub(crate) fn command_of(&self, command: Command, environment: &[(&str, &str)]) -> Command {
        let mut command = bare(command);
        command
            .env("SYNC_PORT", "0")
            .env("SYNC_DATA_DIR", self.data())
            .env("SYNC_MASTER_SECRET", SECRET)
            .env("SYNC_WORKERS", "2")
            .env("SYNC_PURGE_INTERVAL", "0")
            .env("SYNC_METRICS_LISTEN", "off")
            // Nobody there: a test that needs an accounts server names one.
            .env("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "http://127.0.0.1:9");
        if let Some(database) = &self.1 {
            command.env("SYNC_SYNCSTORAGE__DATABASE_URL", database.url());
        }
        for (name, value) in environment {
            command.env(name, value);
        }
        command
    }

    /// Starts the server.
    pub(crate) fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// Starts the server with these variables of the environment besides.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Server {
        Server::spawn(self.command(environment))
    }

    /// Starts the server, which must refuse.
    pub(crate) fn refusal(&self, environment: &[(&str, &str)]) -> Refusal {
        Refusal::of(self.command(environment))
    }
}

/// A command that knows nothing of this process's environment but where programs are.
pub(crate) fn bare(mut command: Command) -> Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// A server that runs. It is killed when it is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    /// How long it took from the start of the process until it listened.
    pub(crate) started_in: Duration,
    child: Child,
    log: Log,
    reader: Option<JoinHandle<()>>,
}

type Log = Arc<Mutex<Vec<String>>>;

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let begin = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Log::default();
        let written = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                written.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { addr: nowhere, started_in: Duration::ZERO, child, log, reader: Some(reader) };
        while begin.elapsed() < PATIENCE {
            if let Some(addr) = server.log_lines().iter().find_map(|line| listening(line)) {
                server.addr = addr;
                server.started_in = begin.elapsed();
                return server;
            }
            assert!(server.child.try_wait().unwrap().is_none(), "the server refuses: {:#?}", server.log_lines());
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the server does not listen: {:#?}", server.log_lines());
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::connect(self.addr).await.unwrap()
    }

    /// What was logged so far.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Takes it away between one instruction and the next.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ends, and how long that takes from now. All that it has logged is there then.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                let took = begin.elapsed();
                if let Some(reader) = self.reader.take() {
                    let _ = reader.join();
                }
                return (status, took);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not stop: {:#?}", self.log_lines());
    }

    /// Asks it to stop, and checks that it does so well; all that it has logged.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.terminate();
        let (status, _) = self.wait();
        assert!(status.success(), "{status}: {:#?}", self.log_lines());
        self.log_lines()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// The address in the line of the log that says that the server listens, which is JSON or for people.
pub(crate) fn listening(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("listening")?.1.split_once("address").or_else(|| line.split_once("address"))?;
    after.trim_start_matches([':', '"', ' ']).split([',', '"']).next()?.parse().ok()
}

/// A server that would not start.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The exit status.
    pub(crate) code: Option<i32>,
    /// The line that says why.
    pub(crate) why: String,
}

impl Refusal {
    /// Runs a command that has to fail, and soon.
    #[track_caller]
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if begin.elapsed() > PATIENCE => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("it runs, and should have refused");
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let stderr = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("syncserver: ")).collect();
        assert_eq!(lines.len(), 1, "one line has to say why: {stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { code: status.code(), why: lines[0].to_owned() }
    }

    /// Checks the exit status, and that the reason names all of these.
    #[track_caller]
    pub(crate) fn names(&self, what: &[&str]) {
        assert_eq!(self.code, Some(1), "{self:?}");
        for name in what {
            assert!(self.why.contains(name), "{name:?} is not in {:?}", self.why);
        }
    }
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
