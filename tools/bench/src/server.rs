//! A server that the benchmark starts itself.

use crate::Result;
use crate::backend::DatabaseServer;
use crate::cli::Cli;
use crate::pages;
use crate::scenario::Scenario;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const ASK_AGAIN: Duration = Duration::from_micros(500);

/// A server with a port and a data folder, running or not.
pub(crate) struct Server {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    addr: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    /// Prepares one; nothing runs yet.
    pub(crate) fn new(binary: &Path, secret: &str, database: Option<&DatabaseServer>, cli: &Cli) -> Result<Server> {
        // Else a relative path would be looked up in the folder that the server runs in.
        let binary = fs::canonicalize(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
        let mut builder = tempfile::Builder::new();
        builder.prefix("sync-bench-");
        let folder = match &cli.data_parent {
            Some(parent) => builder.tempdir_in(parent),
            None => builder.tempdir(),
        }
        .map_err(|error| format!("no temporary folder: {error}"))?;
        let (addr, metrics) = (free_address()?, free_address()?);
        let mut environment: Vec<(String, String)> = [
            ("SYNC_HOST", addr.ip().to_string()),
            ("SYNC_PORT", addr.port().to_string()),
            ("SYNC_MASTER_SECRET", secret.to_owned()),
            ("SYNC_DATA_DIR", folder.path().display().to_string()),
            ("SYNC_METRICS_LISTEN", metrics.to_string()),
            // Nobody signs in here; and nobody outside is to be asked for keys.
            ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "http://127.0.0.1:1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let mut set = |name: &str, value: String| environment.push((format!("SYNC_SYNCSTORAGE__{name}"), value));
        if let Some(url) = &cli.database_url {
            set("DATABASE_URL", url.clone());
        }
        if let Some(database) = database {
            set("DATABASE_URL", database.sync.url().to_owned());
        }
        if cli.scenarios().contains(&Scenario::Pages) {
            // Only what one batch writes has one modified time.
            set("LIMITS__MAX_TOTAL_RECORDS", pages::records(cli).max(10_000).to_string());
        }
        for setting in &cli.env {
            let (name, value) = setting.split_once('=').ok_or_else(|| format!("--env {setting} has no ="))?;
            environment.push((name.to_owned(), value.to_owned()));
        }
        Ok(Server { binary, environment, addr, folder, child: None })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().ok_or("the server does not run")?.id())
    }

    /// Starts it, and says how long it took until it answered.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(&self.binary);
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // Settings of whoever runs the benchmark are not part of it.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNC_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let start = Instant::now();
        self.child = Some(command.spawn().map_err(|error| format!("{}: {error}", self.binary.display()))?);
        loop {
            if self.answers() {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()).transpose()? {
                self.child = None;
                return Err(format!("the server ended with {status}:\n{}", self.log_tail()).into());
            }
            if start.elapsed() > START_LIMIT {
                return Err(format!("the server does not answer:\n{}", self.log_tail()).into());
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect(self.addr)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET /__lbheartbeat__ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr)?;
            let mut first = [0; 12];
            stream.read_exact(&mut first)?;
            Ok(first.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }

    /// Stops it as an operator would, and says how long it took.
    pub(crate) fn stop(&mut self) -> Result<Duration> {
        let Some(mut child) = self.child.take() else { return Ok(Duration::ZERO) };
        let start = Instant::now();
        terminate(&child);
        while start.elapsed() < STOP_LIMIT {
            if let Some(status) = child.try_wait()? {
                if !status.success() {
                    return Err(format!("the server, told to stop, ended with {status}:\n{}", self.log_tail()).into());
                }
                return Ok(start.elapsed());
            }
            std::thread::sleep(ASK_AGAIN);
        }
        child.kill()?;
        child.wait()?;
        Err(format!("the server did not stop within {} s", STOP_LIMIT.as_secs()).into())
    }

    /// The end of what it wrote.
    pub(crate) fn log_tail(&self) -> String {
        const LINES: usize = 30;
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(self.log_path()) {
            // What cannot be read is not shown; there is something worse to tell.
            let _ = file.read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself; waiting for it will tell.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// An address that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
