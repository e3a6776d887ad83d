//! A database for one test.

use crate::Engine;
use crate::session::{Session, Target};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// A fresh, empty database on the Postgres server of [`Engine::variable`].
pub fn postgres() -> Database {
    static FIRST: OnceLock<Arc<Session>> = OnceLock::new();
    on_given(Engine::Postgres, &FIRST)
}

/// A fresh, empty database on the MariaDB server of [`Engine::variable`].
pub fn mysql() -> Database {
    static FIRST: OnceLock<Arc<Session>> = OnceLock::new();
    on_given(Engine::Mysql, &FIRST)
}

/// On the server that this process was told to use, by the one connection that makes and drops databases there.
fn on_given(engine: Engine, first: &OnceLock<Arc<Session>>) -> Database {
    let server = given(engine);
    let first = first.get_or_init(|| Arc::new(Session::new(server.clone())));
    Database::create(server, Arc::clone(first))
}

/// The server that this process was told to use.
fn given(engine: Engine) -> Target {
    let name = engine.variable();
    let Some(url) = std::env::var(name).ok().filter(|url| !url.is_empty()) else {
        panic!(
            "{name} names no server. Run the tests by `make test`, or \
             `cargo run -p testdb -- run postgres,mysql -- cargo test …`"
        );
    };
    Target { engine, url, socket: None }
}

/// A database of its own for one test. It is dropped when this is.
#[derive(Debug)]
pub struct Database {
    engine: Engine,
    name: String,
    url: String,
    own: Session,
    /// The server's first database, to drop this one from.
    first: Arc<Session>,
}

impl Database {
    /// Makes one on a server.
    pub(crate) fn create(server: Target, first: Arc<Session>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Numbers of processes are used again, and a server may outlive them.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{}_{count}", std::process::id(), since.as_millis());
        let url = with_database(&server.url, &name);
        first.execute(&format!("CREATE DATABASE {name}")).unwrap_or_else(|error| panic!("no database: {error}"));
        let engine = server.engine;
        let own = Session::new(Target { url: url.clone(), ..server });
        Self { engine, name, url, own, first }
    }

    /// Its URL, with a user who may do all and the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL text, one statement or several. Panics with the server's words.
    #[track_caller]
    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs SQL text; the rows of the last statement that has some, as text, with `None` for NULL. Panics with
    /// the server's words.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.own.query(sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{error}\nin {sql}"),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = &self.name;
        let text = match self.engine {
            Engine::Postgres => format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            // A connection in the middle of a transaction keeps the tables; by default one would wait for it for a day.
            Engine::Mysql => format!("SET lock_wait_timeout = 5; DROP DATABASE IF EXISTS {name}"),
        };
        // What is left goes with the server.
        let _ = self.first.execute(&text);
    }
}

/// A URL with another database.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let authority = before.find("://").map_or(0, |at| at + 3);
    let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &before[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_keeps_the_rest_of_a_url() {
        for (url, wanted) in [
            ("mysql://u:p%2F@h:1/mysql", "mysql://u:p%2F@h:1/x"),
            ("postgres://h", "postgres://h/x"),
            ("postgres://u@h/a?sslmode=require", "postgres://u@h/x?sslmode=require"),
            ("postgres://u@h?a=/b", "postgres://u@h/x?a=/b"),
        ] {
            assert_eq!(with_database(url, "x"), wanted);
        }
    }
}
