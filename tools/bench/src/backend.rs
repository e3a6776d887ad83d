//! The database server that a run starts for itself.

use crate::Result;
use crate::process::Process;
use clap::ValueEnum;
use testdb::{Database, Engine, Options};

/// What the spawned Sync server keeps its data in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// A file in the temporary folder
    Sqlite,
    /// A Postgres server, started for the run
    Postgres,
    /// A MariaDB server, started for the run
    #[value(alias = "mariadb")]
    Mysql,
}

/// A throw-away database server with two databases. What is committed is on its disk, as in earnest.
pub(crate) struct DatabaseServer {
    pub(crate) engine: Engine,
    /// The Sync server's.
    pub(crate) sync: Database,
    /// The one of the measurement without a Sync server.
    pub(crate) bare: Database,
    pub(crate) process: Process,
    // The last: the databases are dropped before it is.
    _server: testdb::Server,
}

impl DatabaseServer {
    /// Starts one that takes so many connections from each, if the backend is one that needs a server.
    pub(crate) fn start(backend: Backend, connections: u32) -> Result<Option<DatabaseServer>> {
        let (engine, programs): (_, &[&str]) = match backend {
            Backend::Sqlite => return Ok(None),
            Backend::Postgres => (Engine::Postgres, &["postgres"]),
            Backend::Mysql => (Engine::Mysql, &["mariadbd", "mysqld"]),
        };
        eprintln!("starting {engine}");
        // The load's, twice, and some for those who look after databases.
        let most = connections.saturating_mul(2).saturating_add(50).max(400).to_string();
        let options = Options::default().durable(true).setting("max_connections", &most);
        let server = testdb::Server::try_start(engine, options)?;
        let process = Process::own().child(programs)?.ok_or_else(|| format!("no process of {engine} to be found"))?;
        Ok(Some(DatabaseServer { engine, sync: server.database(), bare: server.database(), process, _server: server }))
    }
}
