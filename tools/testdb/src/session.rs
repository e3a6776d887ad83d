//! A connection that runs SQL text, for callers that are not asynchronous or are in a runtime of their own.

use crate::Engine;
use mysql_async::prelude::Queryable as _;
use std::path::PathBuf;
use std::sync::mpsc;
use tokio_postgres::SimpleQueryMessage;

/// The rows of the last statement that has some: text, or `None` for NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// What a server is told and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) engine: Engine,
    /// With the database to use.
    pub(crate) url: String,
    /// In place of the URL's host: the folder of Postgres's socket, MariaDB's socket itself.
    pub(crate) socket: Option<PathBuf>,
}

/// A connection, made when it is used and made again when it was lost. It has a thread with a runtime of its own.
#[derive(Debug)]
pub(crate) struct Session {
    jobs: tokio::sync::mpsc::UnboundedSender<Job>,
}

#[derive(Debug)]
struct Job {
    text: String,
    answer: mpsc::Sender<Result<Rows, String>>,
}

impl Session {
    pub(crate) fn new(target: Target) -> Self {
        let (jobs, queue) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || work(target, queue));
        Self { jobs }
    }

    /// Runs statements. The error is the server's word, or why there is no connection.
    pub(crate) fn execute(&self, text: &str) -> Result<(), String> {
        self.query(text).map(drop)
    }

    /// Runs statements; the rows of the last one that has some.
    pub(crate) fn query(&self, text: &str) -> Result<Rows, String> {
        let (answer, answered) = mpsc::channel();
        let gone = "the thread of the connection is gone";
        self.jobs.send(Job { text: text.to_owned(), answer }).map_err(|_| gone)?;
        answered.recv().map_err(|_| gone)?
    }
}

fn work(target: Target, mut queue: tokio::sync::mpsc::UnboundedReceiver<Job>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        // The callers see that nobody answers.
        Err(error) => return eprintln!("testdb: no runtime: {error}"),
    };
    runtime.block_on(async move {
        let mut client = None;
        while let Some(job) = queue.recv().await {
            let rows = run(&target, &mut client, &job.text).await;
            // Whoever does not wait for it does not need it.
            let _ = job.answer.send(rows);
        }
        if let Some(Client::Mysql(conn)) = client {
            let _ = conn.disconnect().await;
        }
    });
}

enum Client {
    Postgres(tokio_postgres::Client),
    Mysql(mysql_async::Conn),
}

impl Client {
    async fn connect(target: &Target) -> Result<Self, String> {
        match target.engine {
            Engine::Postgres => {
                let mut config: tokio_postgres::Config = target.url.parse().map_err(words)?;
                if let Some(folder) = &target.socket {
                    config = over_socket(&config, folder);
                }
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(words)?;
                // It ends with the client, or when the server hangs up, which the client tells.
                tokio::spawn(async move {
                    let _ = connection.await;
                });
                Ok(Self::Postgres(client))
            }
            Engine::Mysql => {
                let opts = mysql_async::Opts::from_url(&target.url).map_err(words)?;
                let socket = target.socket.as_ref().map(|path| path.display().to_string());
                let opts = mysql_async::OptsBuilder::from_opts(opts).prefer_socket(false).socket(socket);
                Ok(Self::Mysql(mysql_async::Conn::new(opts).await.map_err(words)?))
            }
        }
    }

    async fn is_good(&mut self) -> bool {
        match self {
            Self::Postgres(client) => client.simple_query("").await.is_ok(),
            Self::Mysql(conn) => conn.ping().await.is_ok(),
        }
    }

    async fn query(&mut self, text: &str) -> Result<Rows, String> {
        let mut rows = Rows::new();
        match self {
            Self::Postgres(client) => {
                for message in client.simple_query(text).await.map_err(words)? {
                    match message {
                        SimpleQueryMessage::RowDescription(_) => rows.clear(),
                        SimpleQueryMessage::Row(row) => {
                            rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect());
                        }
                        _ => {}
                    }
                }
            }
            Self::Mysql(conn) => {
                let mut result = conn.query_iter(text).await.map_err(words)?;
                while !result.is_empty() {
                    let has_columns = !result.columns_ref().is_empty();
                    let set: Vec<mysql_async::Row> = result.collect().await.map_err(words)?;
                    if has_columns {
                        rows = set.into_iter().map(|row| row.unwrap_raw().into_iter().map(as_text).collect()).collect();
                    }
                }
            }
        }
        Ok(rows)
    }
}

async fn run(target: &Target, client: &mut Option<Client>, text: &str) -> Result<Rows, String> {
    if let Some(old) = client
        && !old.is_good().await
    {
        *client = None;
    }
    let good = match client {
        Some(client) => client,
        None => client.insert(Client::connect(target).await?),
    };
    good.query(text).await
}

/// The same, but through the socket in a folder.
fn over_socket(config: &tokio_postgres::Config, folder: &std::path::Path) -> tokio_postgres::Config {
    let mut other = tokio_postgres::Config::new();
    other.host_path(folder);
    if let Some(user) = config.get_user() {
        other.user(user);
    }
    if let Some(name) = config.get_dbname() {
        other.dbname(name);
    }
    for port in config.get_ports() {
        other.port(*port);
    }
    other
}

/// A value of MariaDB's text protocol.
fn as_text(value: Option<mysql_async::Value>) -> Option<String> {
    match value? {
        mysql_async::Value::NULL => None,
        mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}

/// What an error says, with what is behind it: the drivers keep the server's words there.
fn words(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
