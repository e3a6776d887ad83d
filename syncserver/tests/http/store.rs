//! Where a server of a test keeps its data: on the database that `TEST_BACKEND` names.
//!
//! `sqlite` (the default) is a file in a folder of the test's own. For `postgres` and `mysql` every store is a database
//! of its own on the server that `testdb run` has started.

use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection as _, SqliteConnection};
use tempfile::TempDir;

/// The tests that are about a file of SQLite and hold for no database server, with the reason. On others they do
/// nothing. What a database server that fails or is slow does to the server is the matter of `tests/cluster`.
pub(crate) const SQLITE_ONLY: [(&str, &str); 2] = [
    ("ops::the_heartbeat_is_503_when_the_database_takes_no_writes_and_recovers", "one lock is on the whole file"),
    (
        "tokenserver_errors::a_database_that_does_not_answer_is_unavailable_and_a_client_comes_back",
        "one lock is on the whole file",
    ),
];

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
    Mysql,
}

impl Backend {
    /// The one that the tests run on.
    pub(crate) fn of_tests() -> Self {
        match std::env::var("TEST_BACKEND").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok("mysql") => Self::Mysql,
            Ok(other) => panic!("TEST_BACKEND is {other:?}; it may be sqlite, postgres or mysql"),
        }
    }

    /// What the tokenserver tells clients of it.
    pub(crate) fn node_type(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }
}

/// Whether a test of [`SQLITE_ONLY`] has nothing to do here.
pub(crate) fn is_elsewhere(test: &str) -> bool {
    let listed = SQLITE_ONLY.iter().find(|(name, _)| *name == test);
    let (_, reason) = listed.unwrap_or_else(|| panic!("{test} is not among the tests of SQLite alone"));
    let elsewhere = Backend::of_tests() != Backend::Sqlite;
    if elsewhere {
        eprintln!("{test} is of SQLite alone: {reason}");
    }
    elsewhere
}

/// An empty place for data, that goes when it is dropped. Servers may use it one after the other.
pub(crate) struct Store {
    folder: TempDir,
    database: Option<testdb::Database>,
}

impl Default for Store {
    fn default() -> Self {
        let database = match Backend::of_tests() {
            Backend::Sqlite => None,
            Backend::Postgres => Some(testdb::postgres()),
            Backend::Mysql => Some(testdb::mysql()),
        };
        Self { folder: TempDir::new().unwrap(), database }
    }
}

impl Store {
    /// The variables of the environment of a server that uses it.
    pub(crate) fn variables(&self) -> Vec<(&str, &str)> {
        let mut variables = vec![("SYNC_DATA_DIR", self.folder.path().to_str().unwrap())];
        if let Some(database) = &self.database {
            variables.push(("SYNC_SYNCSTORAGE__DATABASE_URL", database.url()));
        }
        variables
    }

    /// A connection of another program, on SQLite.
    pub(crate) fn open_file(&self) -> SqliteConnection {
        assert!(self.database.is_none(), "there is no file on {:?}", Backend::of_tests());
        let mut conn = SqliteConnection::establish(self.file().to_str().unwrap()).unwrap();
        conn.batch_execute("PRAGMA busy_timeout = 5000").unwrap();
        conn
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("sync.db")
    }

    /// Runs statements, as another program might.
    pub(crate) fn execute(&self, statements: &str) {
        match &self.database {
            Some(database) => database.execute(statements),
            None => self.open_file().batch_execute(statements).unwrap(),
        }
    }

    /// These columns, as text, of what stands behind `FROM`.
    pub(crate) fn select(&self, columns: &[&str], from: &str) -> Vec<Vec<Option<String>>> {
        const BETWEEN: char = '\x1f';
        const NULL: &str = "\x1e";
        let list = columns.join(", ");
        if let Some(database) = &self.database {
            return database.query(&format!("SELECT {list} FROM {from}"));
        }
        // Diesel has to be told the number of columns in the code.
        let texts = columns.iter().map(|column| format!("ifnull(CAST({column} AS TEXT), '{NULL}')"));
        let texts: Vec<String> = texts.collect();
        let select = format!("SELECT {} FROM {from}", texts.join(&format!(" || '{BETWEEN}' || ")));
        let rows = sqlite_engine::sql::<(Text,)>(select).rows::<(String,)>(&mut self.open_file()).unwrap();
        let value = |text: &str| (text != NULL).then(|| text.to_owned());
        rows.into_iter().map(|(row,)| row.split(BETWEEN).map(value).collect()).collect()
    }

    /// The tables whose name contains this.
    pub(crate) fn tables(&self, part: &str) -> Vec<String> {
        let from = match Backend::of_tests() {
            Backend::Sqlite => format!("sqlite_master WHERE type = 'table' AND name LIKE '%{part}%'"),
            Backend::Postgres => format!("pg_tables WHERE schemaname = 'public' AND tablename LIKE '%{part}%'"),
            Backend::Mysql => {
                format!("information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE '%{part}%'")
            }
        };
        let column = match Backend::of_tests() {
            Backend::Sqlite => "name",
            Backend::Postgres => "tablename",
            Backend::Mysql => "table_name",
        };
        self.select(&[column], &from).into_iter().map(|mut row| row.remove(0).unwrap()).collect()
    }
}

#[test]
fn the_tests_of_sqlite_alone_say_so_themselves() {
    for (test, _) in SQLITE_ONLY {
        let (module, function) = test.split_once("::").unwrap();
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/http/{module}.rs"));
        let source = std::fs::read_to_string(file).unwrap();
        let (_, body) = source.split_once(&format!("async fn {function}(")).unwrap_or_else(|| panic!("no test {test}"));
        let (body, _) = body.split_once("\n}\n").unwrap();
        assert!(body.contains("is_elsewhere(") && body.contains(test), "{test} runs on every database");
    }
}
