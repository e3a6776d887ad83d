//! Servers of a test's own, and databases on them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::net::TcpStream;
use testdb::{Database, Engine, Options, Server};

const ENGINES: [Engine; 2] = [Engine::Postgres, Engine::Mysql];

fn one(database: &Database, sql: &str) -> String {
    database.query(sql)[0][0].clone().unwrap()
}

fn names(server: &Server, database: &Database) -> Vec<Vec<Option<String>>> {
    database.query(match server.engine() {
        Engine::Postgres => "SELECT datname FROM pg_database WHERE datname LIKE 'test%'",
        Engine::Mysql => "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'test%'",
    })
}

#[test]
fn every_database_is_empty_its_own_and_gone_afterwards() {
    for engine in ENGINES {
        let server = Server::start(engine, Options::default());
        let first = server.database();
        let second = server.database();
        first.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (NULL)");
        second.execute("CREATE TABLE t (a INT)");
        let rows = first.query("SELECT 'no'; SELECT a, 'x' FROM t ORDER BY a DESC");
        let wanted = [vec![Some("1".to_owned()), Some("x".to_owned())], vec![None, Some("x".to_owned())]];
        assert_eq!(rows.len(), 2, "{engine}");
        assert!(wanted.iter().all(|row| rows.contains(row)), "{engine}: {rows:?}");
        assert_eq!(one(&second, "SELECT count(*) FROM t"), "0", "{engine}");
        assert_eq!(names(&server, &first).len(), 2, "{engine}");
        drop(second);
        assert_eq!(names(&server, &first).len(), 1, "{engine}");
    }
}

#[test]
fn what_is_committed_survives_a_restart_and_a_crash() {
    for engine in ENGINES {
        let mut server = Server::start(engine, Options::default());
        let (port, database) = (server.port(), server.database());
        database.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)");
        server.restart();
        assert_eq!(one(&database, "SELECT count(*) FROM t"), "1", "{engine}, restarted");
        database.execute("INSERT INTO t VALUES (2)");
        server.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{engine} answers");
        server.start_again();
        assert_eq!(one(&database, "SELECT count(*) FROM t"), "2", "{engine}, killed");
        assert_eq!(server.port(), port);
    }
}

#[test]
fn the_defaults_are_those_of_the_database_server() {
    for durable in [false, true] {
        let server = Server::start(Engine::Postgres, Options::default().durable(durable));
        let database = server.database();
        assert_eq!(one(&database, "SHOW transaction_isolation"), "read committed");
        assert_eq!(one(&database, "SHOW server_encoding"), "UTF8");
        assert_eq!(one(&database, "SHOW fsync"), if durable { "on" } else { "off" });
        assert!(one(&database, "SHOW max_connections").parse::<u32>().unwrap() >= 300);
        // Text is in the order of a language unless a query says otherwise.
        if one(&database, "SHOW server_version_num").parse::<u32>().unwrap() >= 150_000 {
            assert_eq!(one(&database, "SELECT 'a' < 'B'"), "t");
        }

        let server = Server::start(Engine::Mysql, Options::default().durable(durable));
        let database = server.database();
        assert_eq!(one(&database, "SELECT @@tx_isolation"), "REPEATABLE-READ");
        assert_eq!(one(&database, "SELECT @@innodb_flush_log_at_trx_commit"), if durable { "1" } else { "2" });
        assert!(one(&database, "SELECT @@max_connections").parse::<u32>().unwrap() >= 300);
    }
}

#[test]
fn the_password_is_asked_for() {
    for engine in ENGINES {
        let server = Server::start(engine, Options::default());
        let right = reaches(&server.url());
        assert_eq!(right, Ok(()), "{engine}");
        let wrong = reaches(&server.url().replace("%23", "%24"));
        assert!(wrong.as_ref().is_err_and(|why| why.contains("password")), "{engine}: {wrong:?}");
    }
}

/// Whether a connection over TCP can be made. It is not encrypted.
fn reaches(url: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if url.starts_with("postgres") {
            match tokio_postgres::connect(url, tokio_postgres::NoTls).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("{error:?}")),
            }
        } else {
            match mysql_async::Conn::from_url(url).await {
                Ok(conn) => conn.disconnect().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        }
    })
}

/// A certificate for 127.0.0.1 and its key, good until 2126.
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");

#[test]
fn settings_and_files_can_be_given_so_that_a_server_wants_tls() {
    let with_files = || Options::default().file("server.pem", CERTIFICATE).file("server.key", KEY);
    let postgres = with_files().setting("ssl", "on").setting("ssl_cert_file", "server.pem");
    let postgres = postgres.setting("ssl_key_file", "server.key");
    let mysql = with_files().setting("ssl-cert", "server.pem").setting("ssl-key", "server.key");
    for (engine, options) in [
        (Engine::Postgres, postgres.access("hostssl all all 127.0.0.1/32 scram-sha-256")),
        (Engine::Mysql, mysql.setting("require-secure-transport", "on")),
    ] {
        let server = Server::start(engine, options);
        let refused = reaches(&server.url());
        // MariaDB says no more; that the password is right is seen where it wants no TLS.
        let words = if engine == Engine::Postgres { "no encryption" } else { "Access denied" };
        assert!(refused.as_ref().is_err_and(|why| why.contains(words)), "{engine}: {refused:?}");
        let database = server.database();
        assert_eq!(one(&database, "SELECT 1"), "1", "{engine}");
        if engine == Engine::Mysql {
            assert_eq!(one(&database, "SELECT @@have_ssl"), "YES");
        }
    }
}

#[test]
fn a_server_that_cannot_start_says_why() {
    for (engine, options) in [
        (Engine::Postgres, Options::default().setting("no_such_setting", "1")),
        (Engine::Mysql, Options::default().setting("no-such-setting", "1")),
    ] {
        let error = Server::try_start(engine, options).unwrap_err().to_string();
        assert!(error.contains("such"), "{engine}: {error}");
    }
}
