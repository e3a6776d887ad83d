//! MySQL and MariaDB.

use std::borrow::Cow;

use diesel::QueryResult;
use diesel::migration::{Migration, Result as MigrationResult};
use diesel::mysql::Mysql;
use diesel::result::Error;
use diesel::sql_types::Text;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, SslOpts};

use crate::driver::{Driver, Trouble};
use crate::location::{Address, Location, TlsMode};
use crate::open::{OpenError, told};
use crate::statement::Sql;
use crate::tls;

/// What every connection begins with. The modes that a server may have set otherwise are those that the statements are
/// made for: what does not fit is an error, not cut off. The server's words are read, so that they have to be English. A
/// row that is locked for longer than this is held by something that hangs.
const SETUP: [&str; 2] = [
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', lc_messages = 'en_US', \
     innodb_lock_wait_timeout = 5, autocommit = 1",
];

/// A statement for MySQL, with `?` for its values, whose text is one of a few in the program.
pub fn sql<'a, Row>(text: impl Into<Cow<'static, str>>) -> Sql<'a, Mysql, Row> {
    Sql::new(text)
}

impl Driver for AsyncMysqlConnection {
    const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");
    const TRANSACTIONAL_DDL: bool = false;
    // The name belongs to the whole server.
    const LOCK_SCHEMA: &str = "SELECT CAST(GET_LOCK(CONCAT('syncserver ', LEFT(SHA1(DATABASE()), 40)), 600) AS CHAR)";
    const ADD_META: &str = "INSERT IGNORE INTO syncserver_meta (name, value) VALUES (?, ?)";
    const CHANGE_META: &str = "UPDATE syncserver_meta SET value = ? WHERE name = ? AND value = ?";
    const READ_META: &str = "SELECT value FROM syncserver_meta WHERE name = ?";
    const WRITE_META: &str =
        "INSERT INTO syncserver_meta (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)";
    const REMOVE_META: &str = "DELETE FROM syncserver_meta WHERE name = ?";
    const BEGIN_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
        START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    // It tells no program from another: all connections of this user count. Those it shows without a privilege.
    const COUNT_OTHERS: Option<&str> = Some(
        "SELECT CAST(count(*) AS CHAR) FROM information_schema.processlist
         WHERE db = DATABASE() AND user = SUBSTRING_INDEX(USER(), '@', 1) AND id <> CONNECTION_ID()",
    );
    const FIND_TABLE: &str =
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";

    async fn texts(&mut self, statement: &'static str, value: Option<&str>) -> QueryResult<Vec<String>> {
        let mut statement = sql::<(Text,)>(statement);
        if let Some(value) = value {
            statement = statement.bind::<Text, _>(value.to_owned());
        }
        let rows: Vec<(String,)> = statement.load(self).await?;
        Ok(rows.into_iter().map(|(text,)| text).collect())
    }

    async fn change(&mut self, statement: &'static str, values: Vec<String>) -> QueryResult<usize> {
        let statement = values.into_iter().fold(sql::<()>(statement), Sql::bind::<Text, _>);
        statement.execute(self).await
    }

    fn limit_locks(seconds: u64) -> String {
        format!("SET innodb_lock_wait_timeout = {seconds}")
    }

    fn migrate(self, migration: &dyn Migration<Mysql>) -> MigrationResult<Self> {
        let mut conn = AsyncConnectionWrapper::<Self>::from(self);
        migration.run(&mut conn)?;
        Ok(conn.into_inner())
    }

    async fn connect(location: &Location) -> Result<Self, OpenError> {
        let unreachable = |reason: String| OpenError::Unreachable { location: location.to_string(), reason };
        // The driver reads the roots by itself; only, it does not say of which file it speaks.
        tls::client_config(location)?;
        let conn = match open(location, location.tls != TlsMode::Disable).await {
            // A server without TLS.
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if location.tls == TlsMode::Prefer =>
            {
                open(location, false).await
            }
            other => other,
        };
        let conn = conn.map_err(|error| refused(location, &error))?;
        Self::try_from(conn).await.map_err(|error| unreachable(told(&error)))
    }

    async fn check_version(&mut self, location: &Location) -> Result<(), OpenError> {
        let unreachable = |reason: String| OpenError::Unreachable { location: location.to_string(), reason };
        let version = self.texts("SELECT VERSION()", None).await.map_err(|error| unreachable(told(&error)))?;
        let version = version.into_iter().next().unwrap_or_default();
        let is_mariadb = version.contains("MariaDB");
        let (name, oldest, expected) =
            if is_mariadb { ("MariaDB", (10, 6), "MariaDB 10.6") } else { ("MySQL", (8, 0), "MySQL 8.0") };
        if release(&version).is_some_and(|release| release < oldest) {
            let found = format!("{name} {version}");
            return Err(OpenError::TooOld { location: location.to_string(), found, expected });
        }
        Ok(())
    }

    /// Diesel passes no codes on, so that the server's words have to do; they were set to English.
    fn trouble(error: &Error) -> Trouble {
        const CONTENDED: [&str; 3] =
            ["Deadlock found", "Lock wait timeout exceeded", "Record has changed since last read"];
        // The first four are the driver's own.
        const LOST: [&str; 8] = [
            "Input/output error",
            "Connection to the server is closed",
            "Packet out of order",
            "Driver error",
            "Server shutdown in progress",
            "Connection was killed",
            "server has gone away",
            "The client was disconnected",
        ];
        const BUSY: [&str; 8] = [
            "Query execution was interrupted",
            "Too many connections",
            "has more than 'max_user_connections'",
            "is full",
            "Disk full",
            "No space left",
            "read-only",
            "not writable",
        ];
        let Error::DatabaseError(_, information) = error else { return Trouble::Other };
        let words = information.message();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        match () {
            () if says(&CONTENDED) => Trouble::Contended,
            () if says(&LOST) => Trouble::Lost,
            () if says(&BUSY) => Trouble::Busy,
            () => Trouble::Other,
        }
    }
}

/// The first two numbers of a version.
fn release(version: &str) -> Option<(u32, u32)> {
    // Old MariaDB servers say 5.5.5- first, for clients that know no higher number.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

async fn open(location: &Location, tls: bool) -> Result<Conn, mysql_async::Error> {
    let mut options = OptsBuilder::default()
        .user(Some(&location.user))
        .pass(location.password.as_deref())
        .db_name(Some(&location.database))
        // The URL says where to connect to, and how.
        .prefer_socket(false)
        // Diesel has its own cache.
        .stmt_cache_size(0)
        // Rows that an UPDATE finds count, whether it changes them or not, as on the other engines.
        .client_found_rows(true)
        // The driver sets no more than when this begins: a peer that is gone without a word is noticed after ten minutes
        // at the earliest, or by the limit of a statement.
        .tcp_keepalive(Some(15_000_u32))
        .init(SETUP.map(str::to_owned).to_vec());
    options = match &location.address {
        Address::Tcp(host, port) => options.ip_or_hostname(host.as_str()).tcp_port(*port),
        Address::Socket(path, _) => {
            options.ip_or_hostname("localhost").prefer_socket(true).socket(Some(path.display().to_string()))
        }
    };
    if tls {
        options = options.ssl_opts(ssl_options(location));
    }
    Conn::new(Opts::from(options)).await
}

/// The driver looks at the whole certificate or at nothing of it: it cannot leave the name alone (with the rustls of
/// today), so that VERIFY_CA wants the right name, too. As MySQL's own clients have it, REQUIRED looks at nothing.
fn ssl_options(location: &Location) -> SslOpts {
    let roots: Vec<_> = location.roots.iter().map(|path| path.clone().into()).collect();
    let own_roots = !roots.is_empty();
    let options = SslOpts::default();
    match location.tls {
        TlsMode::VerifyFull | TlsMode::VerifyCa => {
            options.with_root_certs(roots).with_disable_built_in_roots(own_roots)
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => options.with_danger_accept_invalid_certs(true),
    }
}

/// What a failed connection means.
fn refused(location: &Location, error: &mysql_async::Error) -> OpenError {
    let reason = told(error);
    let code = match error {
        mysql_async::Error::Server(error) => error.code,
        _ => 0,
    };
    match code {
        1049 => {
            let database = location.database.clone();
            let create = format!("CREATE DATABASE `{}` CHARACTER SET utf8mb4", database.replace('`', "``"));
            OpenError::NoDatabase { location: location.to_string(), database, create }
        }
        // Access denied: to the user, to the database, without TLS, and by the way of signing in.
        1044 | 1045 | 1698 | 1251 | 1862 | 3159 => OpenError::Denied { location: location.to_string(), reason },
        _ => OpenError::Unreachable { location: location.to_string(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_what_servers_say() {
        for (version, expected) in [
            ("10.11.19-MariaDB-0+deb12u1", Some((10, 11))),
            ("5.5.5-10.6.4-MariaDB", Some((10, 6))),
            ("8.0.36", Some((8, 0))),
            ("8.4.0-0ubuntu1", Some((8, 4))),
            ("5.7.44-log", Some((5, 7))),
            ("", None),
        ] {
            assert_eq!(release(version), expected, "{version}");
        }
    }
}
