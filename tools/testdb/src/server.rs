//! A server that is started, stopped and taken away.

use crate::database::with_database;
use crate::folder::Folder;
use crate::process::{kill_all, signal, signal_all, wait};
use crate::programs::Programs;
use crate::session::{Session, Target};
use crate::{Database, Engine, Options, ServerError, mysql, postgres};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The user of every server; one who may do all.
pub(crate) const USER: &str = "tester";

/// Its password. Every character that a URL has a use for is in it, as in the passwords of careful people.
pub(crate) const PASSWORD: &str = "p@ss:w/rd? #1%&=+'\"";

/// How long a server may take to start or to stop, on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(120);

/// Attempts to start on a port that another process takes first.
const PORTS: usize = 5;

/// A database server with a port on 127.0.0.1 and a data folder of its own. It is killed, and its data removed, when it
/// is dropped, and also when this process ends in whatever way.
#[derive(Debug)]
pub struct Server {
    engine: Engine,
    options: Options,
    programs: Programs,
    port: u16,
    child: Option<Child>,
    // Behind the child: it goes first.
    folder: Folder,
}

impl Server {
    /// Starts one, and waits until it answers. For tests: panics with a sentence if there is none.
    #[must_use]
    pub fn start(engine: Engine, options: Options) -> Self {
        Self::try_start(engine, options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts one, and waits until it answers.
    pub fn try_start(engine: Engine, options: Options) -> Result<Self, ServerError> {
        let programs = Programs::find(engine)?;
        let folder = Folder::new(match engine {
            Engine::Postgres => postgres::USERS,
            Engine::Mysql => mysql::USERS,
        })?;
        let init = match engine {
            Engine::Postgres => postgres::init(&programs, &folder, &options)?,
            Engine::Mysql => mysql::init(&programs, &folder, &options)?,
        };
        run(init, &folder)?;
        let access = folder.data().join("pg_hba.conf");
        match engine {
            Engine::Postgres => folder.write(&access, &postgres::access(&options))?,
            Engine::Mysql => folder.write(&mysql::access_file(&folder), &mysql::access())?,
        }
        for (name, text) in &options.files {
            folder.write(&folder.data().join(name), text)?;
        }
        let mut server = Self { engine, options, programs, port: 0, child: None, folder };
        for attempt in 1.. {
            server.port = match server.options.port {
                Some(port) => port,
                None => free_port().map_err(ServerError::file("no free port on 127.0.0.1"))?,
            };
            match server.try_start_again() {
                Ok(()) => break,
                Err(_) if attempt < PORTS && server.options.port.is_none() && server.lost_its_port() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(server)
    }

    /// Its kind.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Its port on 127.0.0.1. It stays the same however often the server is started.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A URL with the name and the password of a user who may do all, and the database that every server has.
    pub fn url(&self) -> String {
        let password = utf8_percent_encode(PASSWORD, NON_ALPHANUMERIC);
        let (scheme, database) = (self.engine.scheme(), self.engine.first_database());
        format!("{scheme}://{USER}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database of this name, which stays as long as the server's data; a URL like [`Self::url`] that names it. The
    /// error is the server's word.
    pub fn create_database(&self, name: &str) -> Result<String, String> {
        Session::new(self.target()).execute(&format!("CREATE DATABASE {name}"))?;
        Ok(with_database(&self.url(), name))
    }

    /// A fresh, empty database on it. Its [`Database::execute`] comes in by the socket, whatever the rules for others.
    pub fn database(&self) -> Database {
        let target = self.target();
        Database::create(target.clone(), Arc::new(Session::new(target)))
    }

    /// Stops it as an administrator would, and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Stops it as an administrator would, without waiting for clients to leave. The data stays.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // Postgres waits for its clients at SIGTERM.
        signal(&child, if self.engine == Engine::Postgres { Signal::INT } else { Signal::TERM });
        if wait(&mut child, PATIENCE).is_none() {
            kill_all(&mut child);
            panic!("{} does not stop; the end of its log:\n{}", self.engine, self.folder.log_tail());
        }
    }

    /// Kills all of it, as a crash of the machine would. The data stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill_all(&mut child);
        }
    }

    /// Has it stand still, as a machine that hangs does: its connections stay, and nobody answers.
    pub fn freeze(&self) {
        if let Some(child) = &self.child {
            signal_all(child, Signal::STOP);
        }
    }

    /// Has it go on where it stood still.
    pub fn thaw(&self) {
        if let Some(child) = &self.child {
            signal_all(child, Signal::CONT);
        }
    }

    /// Starts it once it was stopped or killed, and waits until it answers.
    pub fn start_again(&mut self) {
        self.try_start_again().unwrap_or_else(|error| panic!("{error}"));
    }

    fn try_start_again(&mut self) -> Result<(), ServerError> {
        self.kill();
        let mut command = match self.engine {
            Engine::Postgres => postgres::serve(&self.programs, &self.folder, self.port, &self.options)?,
            Engine::Mysql => mysql::serve(&self.programs, &self.folder, self.port, &self.options)?,
        };
        let program = command.get_program().display().to_string();
        let mut child = command.spawn().map_err(ServerError::file(program.clone()))?;
        let session = Session::new(self.target());
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(ServerError::Ended { program, status: status.to_string(), log: self.folder.log_tail() });
            }
            match session.execute("SELECT 1") {
                Ok(()) => break,
                Err(why) if start.elapsed() > PATIENCE => {
                    kill_all(&mut child);
                    return Err(ServerError::Silent { engine: self.engine, why, log: self.folder.log_tail() });
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        self.child = Some(child);
        Ok(())
    }

    fn lost_its_port(&self) -> bool {
        // Both print what the system says.
        self.folder.log_tail().contains("Address already in use")
    }

    fn target(&self) -> Target {
        let socket = match self.engine {
            Engine::Postgres => self.folder.path().to_owned(),
            Engine::Mysql => mysql::socket(&self.folder),
        };
        Target { engine: self.engine, url: self.url(), socket: Some(socket) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The quickest end at which Postgres still takes its processes with it: nobody else might collect them.
        if let Some(child) = self.child.as_mut().filter(|_| self.engine == Engine::Postgres) {
            signal(child, Signal::QUIT);
            if wait(child, Duration::from_secs(6)).is_some() {
                self.child = None;
            }
        }
        self.kill();
    }
}

/// Runs a command to its end, which has to be a good one.
fn run(mut command: Command, folder: &Folder) -> Result<(), ServerError> {
    let program = command.get_program().display().to_string();
    let status = command.status().map_err(ServerError::file(program.clone()))?;
    if status.success() {
        // What it says when all is well would only hide what the server says.
        return fs::write(folder.log(), "").map_err(ServerError::file("cannot empty the log"));
    }
    Err(ServerError::Ended { program, status: status.to_string(), log: folder.log_tail() })
}

/// A port of 127.0.0.1 that nobody listens on, and that the system does not give to those who ask for any: so it is still
/// there when a server starts on it, or one that was stopped wants it back.
pub fn free_port() -> std::io::Result<u16> {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let start = clock.subsec_nanos().wrapping_add(std::process::id().wrapping_mul(7919));
    let ports = (0..COUNT).filter_map(|step| u16::try_from(FIRST + start.wrapping_add(step * 101) % COUNT).ok());
    for port in ports {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
