//! Both kinds of servers, for tests that are written once.

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use network_engine::Driver;
use testdb::Database;

/// A kind of server.
pub(crate) trait Kind: Driver {
    const ENGINE: testdb::Engine;
    const SCHEME: &str;
    /// A statement that takes two seconds.
    const SLOW: &str;
    /// One that takes six.
    const VERY_SLOW: &str;
    /// Has a connection wait a second at most for a lock.
    const IMPATIENT: &str;
    /// Asks a server for its socket, or the folder that it is in.
    const SOCKET: &str;
    /// The parameter of a URL that names it.
    const SOCKET_PARAMETER: &str;

    fn database() -> Database;
}

impl Kind for AsyncPgConnection {
    const ENGINE: testdb::Engine = testdb::Engine::Postgres;
    const SCHEME: &str = "postgres";
    const SLOW: &str = "SELECT pg_sleep(2)";
    const VERY_SLOW: &str = "SELECT pg_sleep(6)";
    const IMPATIENT: &str = "SET lock_timeout = '1s'";
    const SOCKET: &str = "SHOW unix_socket_directories";
    const SOCKET_PARAMETER: &str = "host";

    fn database() -> Database {
        testdb::postgres()
    }
}

impl Kind for AsyncMysqlConnection {
    const ENGINE: testdb::Engine = testdb::Engine::Mysql;
    const SCHEME: &str = "mysql";
    const SLOW: &str = "DO SLEEP(2)";
    const VERY_SLOW: &str = "DO SLEEP(6)";
    const IMPATIENT: &str = "SET innodb_lock_wait_timeout = 1";
    const SOCKET: &str = "SELECT @@socket";
    const SOCKET_PARAMETER: &str = "socket";

    fn database() -> Database {
        testdb::mysql()
    }
}

/// Makes two tests of each function, which is generic in its [`Kind`].
macro_rules! on_both {
    ($($test:ident)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<diesel_async::AsyncPgConnection>().await;
            })*
        }

        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<diesel_async::AsyncMysqlConnection>().await;
            })*
        }
    };
}

pub(crate) use on_both;
