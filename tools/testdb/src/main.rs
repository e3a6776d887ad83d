//! `testdb`: throw-away database servers on the command line.

mod cli;

use clap::Parser as _;
use cli::{Cli, Command};
use std::error::Error;
use std::ffi::OsString;
use std::future::pending;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;
use testdb::{Engine, Options, Server};
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

type Failure = Box<dyn Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// How long a command that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(error.into()),
    };
    let done = runtime.block_on(async {
        let mut signals = Signals::new()?;
        match cli.command {
            Command::Run { backends, durable, database, command } => {
                run(&mut signals, &backends.0, Options::default().durable(durable), database.as_deref(), command).await
            }
            Command::Start { backend, database, port, durable } => {
                start(&mut signals, backend, Options::default().durable(durable).port(port), &database).await
            }
            Command::Install { backends } => {
                for engine in backends.0 {
                    testdb::install(engine)?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    });
    // A server that is still being started when a signal comes is not waited for; its watcher removes it.
    runtime.shutdown_background();
    done.unwrap_or_else(failure)
}

#[expect(clippy::needless_pass_by_value, reason = "the end of the error")]
fn failure(error: Failure) -> ExitCode {
    eprintln!("testdb: {error}");
    ExitCode::FAILURE
}

/// The signals that ask this program to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            Some(()) = self.interrupt.recv() => SignalKind::interrupt(),
            Some(()) = self.terminate.recv() => SignalKind::terminate(),
            Some(()) = self.hangup.recv() => SignalKind::hangup(),
            else => pending().await,
        }
    }
}

/// Starts the servers, all at the same time. Nothing if a signal comes first.
async fn servers(signals: &mut Signals, engines: &[Engine], options: &Options) -> Result<Option<Vec<Server>>> {
    let starting: Vec<_> = engines
        .iter()
        .map(|&engine| {
            let options = options.clone();
            tokio::task::spawn_blocking(move || Server::try_start(engine, options))
        })
        .collect();
    let all = async {
        let mut servers = Vec::new();
        for server in starting {
            servers.push(server.await??);
        }
        Ok(Some(servers))
    };
    tokio::select! {
        servers = all => servers,
        _ = signals.next() => Ok(None),
    }
}

async fn run(
    signals: &mut Signals,
    engines: &[Engine],
    options: Options,
    database: Option<&str>,
    command: Vec<OsString>,
) -> Result<ExitCode> {
    // Whoever has a server already, such as a MySQL that is not ours to start, names it in the environment.
    let given = |engine: &Engine| std::env::var_os(engine.variable()).is_some_and(|url| !url.is_empty());
    let engines: Vec<Engine> = engines.iter().copied().filter(|engine| !given(engine)).collect();
    for &engine in &engines {
        if testdb::install(engine)? {
            eprintln!("testdb: installed {engine}");
        }
    }
    let Some(servers) = servers(signals, &engines, &options).await? else { return Ok(ExitCode::FAILURE) };

    let [program, arguments @ ..] = command.as_slice() else { return Err("there is no command".into()) };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for server in &servers {
        let url = match database {
            Some(name) => server.create_database(name)?,
            None => server.url(),
        };
        command.env(server.engine().variable(), url);
    }
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    let status = tokio::select! {
        status = child.wait() => status?,
        kind = signals.next() => end(&mut child, kind).await?,
    };
    Ok(code(status))
}

/// Passes a signal on, and waits for the command to end.
async fn end(child: &mut Child, kind: SignalKind) -> Result<ExitStatus> {
    // Ctrl-C on a terminal has reached the command already; it does no harm to be told twice.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value());
    if let (Some(pid), Some(signal)) = (pid, signal) {
        // It may have ended by itself; waiting for it tells.
        let _ = rustix::process::kill_process(pid, signal);
    }
    if let Ok(status) = tokio::time::timeout(GRACE, child.wait()).await {
        return Ok(status?);
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}

/// The exit status that a shell would give.
fn code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}

async fn start(signals: &mut Signals, engine: Engine, options: Options, database: &str) -> Result<ExitCode> {
    if testdb::install(engine)? {
        eprintln!("testdb: installed {engine}");
    }
    let Some(servers) = servers(signals, &[engine], &options).await? else { return Ok(ExitCode::FAILURE) };
    for server in &servers {
        println!("{}", server.create_database(database)?);
    }
    eprintln!("testdb: {engine} runs; Ctrl-C stops it and removes its data");
    signals.next().await;
    Ok(ExitCode::SUCCESS)
}
