//! Postgres.

use std::borrow::Cow;
use std::time::Duration;

use diesel::QueryResult;
use diesel::migration::{Migration, Result as MigrationResult};
use diesel::pg::Pg;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Text;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::driver::{Driver, Trouble};
use crate::location::{Address, Location, TlsMode};
use crate::open::{OpenError, told};
use crate::statement::Sql;
use crate::tls;

/// For each address of a name: a second one is to have its turn.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);

/// A peer that is gone without a word is noticed after half a minute: the system asks after the first time of silence,
/// then at intervals, and so many times in all.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(15), Duration::from_secs(5), 3);

/// The same for data under way, which nobody acknowledges.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// The oldest version that this program's statements are written for.
const OLDEST: (u32, &str) = (120_000, "Postgres 12");

/// A statement for Postgres, with `$1`, `$2`, … for its values, whose text is one of a few in the program.
pub fn sql<'a, Row>(text: impl Into<Cow<'static, str>>) -> Sql<'a, Pg, Row> {
    Sql::new(text)
}

impl Driver for AsyncPgConnection {
    const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");
    const TRANSACTIONAL_DDL: bool = true;
    // A number of this program's own; the key belongs to the database.
    const LOCK_SCHEMA: &str = "SELECT '1'::text FROM pg_advisory_lock(6011839526341263)";
    const ADD_META: &str = "INSERT INTO syncserver_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    const CHANGE_META: &str = "UPDATE syncserver_meta SET value = $1 WHERE name = $2 AND value = $3";
    const READ_META: &str = "SELECT value FROM syncserver_meta WHERE name = $1";
    const WRITE_META: &str = "INSERT INTO syncserver_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    const REMOVE_META: &str = "DELETE FROM syncserver_meta WHERE name = $1";
    const BEGIN_SNAPSHOT: &str = "START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    const COUNT_OTHERS: Option<&str> = Some(
        "SELECT count(*)::text FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'syncserver' AND pid <> pg_backend_pid()",
    );
    const FIND_TABLE: &str = "SELECT 'found'::text WHERE to_regclass($1) IS NOT NULL";

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
        format!("SET lock_timeout = '{seconds}s'")
    }

    fn migrate(self, migration: &dyn Migration<Pg>) -> MigrationResult<Self> {
        let mut conn = AsyncConnectionWrapper::<Self>::from(self);
        migration.run(&mut conn)?;
        Ok(conn.into_inner())
    }

    async fn connect(location: &Location) -> Result<Self, OpenError> {
        let (idle, interval, retries) = KEEPALIVE;
        let mut config = Config::new();
        config
            .user(&location.user)
            .dbname(&location.database)
            .application_name("syncserver")
            .connect_timeout(ADDRESS_LIMIT)
            .keepalives_idle(idle)
            .keepalives_interval(interval)
            .keepalives_retries(retries)
            .tcp_user_timeout(GONE_AFTER)
            .ssl_mode(match location.tls {
                TlsMode::Disable => SslMode::Disable,
                TlsMode::Prefer => SslMode::Prefer,
                TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
            });
        if let Some(password) = &location.password {
            config.password(password);
        }
        match &location.address {
            Address::Tcp(host, port) => config.host(host).port(*port),
            Address::Socket(folder, port) => config.host_path(folder).port(*port),
        };
        let tls = MakeRustlsConnect::new(tls::client_config(location)?);
        let (client, connection) = config.connect(tls).await.map_err(|error| refused(location, &error))?;
        Self::try_from_client_and_connection(client, connection)
            .await
            .map_err(|error| OpenError::Unreachable { location: location.to_string(), reason: told(&error) })
    }

    async fn check_version(&mut self, location: &Location) -> Result<(), OpenError> {
        let unreachable = |reason: String| OpenError::Unreachable { location: location.to_string(), reason };
        let number = self
            .texts("SELECT current_setting('server_version_num')", None)
            .await
            .map_err(|error| unreachable(told(&error)))?;
        let number = number.iter().find_map(|number| number.parse::<u32>().ok()).unwrap_or(0);
        if number < OLDEST.0 {
            let found = format!("Postgres {}.{}", number / 10_000, number / 100 % 100);
            return Err(OpenError::TooOld { location: location.to_string(), found, expected: OLDEST.1 });
        }
        Ok(())
    }

    /// Diesel passes no codes on. A lost connection is told by the connection itself; the rest by the server's words,
    /// which are English unless its `lc_messages` says otherwise.
    fn trouble(error: &Error) -> Trouble {
        const CONTENDED: [&str; 3] =
            ["deadlock detected", "could not serialize access", "canceling statement due to lock timeout"];
        const BUSY: [&str; 8] = [
            "canceling statement",
            "the database system is",
            "too many clients",
            "remaining connection slots",
            "out of shared memory",
            "No space left on device",
            "could not extend file",
            "in a read-only transaction",
        ];
        let Error::DatabaseError(kind, information) = error else { return Trouble::Other };
        let words = information.message();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        match kind {
            // The server's last words, after which the driver notices a moment later that nobody is there.
            _ if says(&["terminating connection"]) => Trouble::Lost,
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => Trouble::Lost,
            DatabaseErrorKind::SerializationFailure => Trouble::Contended,
            _ if says(&CONTENDED) => Trouble::Contended,
            DatabaseErrorKind::ReadOnlyTransaction => Trouble::Busy,
            _ if says(&BUSY) => Trouble::Busy,
            _ => Trouble::Other,
        }
    }
}

/// What a failed connection means.
fn refused(location: &Location, error: &tokio_postgres::Error) -> OpenError {
    let reason = told(error);
    match error.code() {
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            let database = location.database.clone();
            let create = format!("CREATE DATABASE \"{}\"", database.replace('"', "\"\""));
            OpenError::NoDatabase { location: location.to_string(), database, create }
        }
        Some(code)
            if [
                SqlState::INVALID_PASSWORD,
                SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                SqlState::INSUFFICIENT_PRIVILEGE,
            ]
            .contains(code) =>
        {
            OpenError::Denied { location: location.to_string(), reason }
        }
        // A server that wants a password, and none is set.
        None if reason.contains("password") => OpenError::Denied { location: location.to_string(), reason },
        _ => OpenError::Unreachable { location: location.to_string(), reason },
    }
}
