//! The table `syncserver_accounts`: what the operator has said of accounts, and who was refused.

use diesel::sql_types::{Nullable, Text};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, sql};
use syncstorage_db_common::Fault;
use tokenserver_db_common::{AccountEntry, AccountFilter, MAX_NEWCOMERS, Verdict, columns};

use crate::service;

const VERDICT: &str = "SELECT verdict FROM syncserver_accounts WHERE email = ?";

const DECIDE: &str = "
    INSERT INTO syncserver_accounts (email, verdict, decided_at) VALUES (?, ?, ?)
    ON CONFLICT (email) DO UPDATE SET verdict = excluded.verdict, decided_at = excluded.decided_at";

const CLEAR: &str = "DELETE FROM syncserver_accounts WHERE email = ? AND verdict IS NULL AND refusals = 0";

const REFUSED: &str = "
    INSERT INTO syncserver_accounts (email, refusals, refused_first, refused_last, reason) VALUES (?, 1, ?, ?, ?)
    ON CONFLICT (email) DO UPDATE SET
        refusals = refusals + 1,
        refused_first = coalesce(refused_first, excluded.refused_first),
        refused_last = excluded.refused_last,
        reason = excluded.reason";

const TRIM: &str = "
    DELETE FROM syncserver_accounts
    WHERE verdict IS NULL AND email NOT IN (
        SELECT email FROM syncserver_accounts WHERE verdict IS NULL ORDER BY refused_last DESC, email LIMIT ?
    )";

const COLUMNS: &str = "
    SELECT email, verdict, decided_at, refusals, refused_first, refused_last, reason
    FROM syncserver_accounts AS accounts";

const IS_PENDING: &str = "verdict IS NULL AND refusals > 0
    AND NOT EXISTS (SELECT 1 FROM users WHERE users.email = accounts.email AND users.service = ?)";

/// What the operator has said of an account.
pub(crate) fn verdict(conn: &mut SqliteConnection, email: &str) -> Result<Option<Verdict>, Fault> {
    let row = sql::<(Nullable<Text>,)>(VERDICT).bind(email).row::<(Option<String>,)>(conn)?;
    Ok(row.and_then(|(verdict,)| Verdict::of_column(verdict.as_deref())))
}

/// See [`TokenAdmin::accounts`](tokenserver_db_common::TokenAdmin::accounts).
pub(crate) fn list(
    conn: &mut SqliteConnection,
    filter: AccountFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<AccountEntry>, Fault> {
    let service = service::load(conn)?.id;
    let condition = match filter {
        AccountFilter::Pending => IS_PENDING,
        AccountFilter::With(_) => "verdict = ?",
    };
    let statement =
        sql::<columns::AccountEntry>(format!("{COLUMNS} WHERE {condition} AND email > ? ORDER BY email LIMIT ?"));
    let statement = match filter {
        AccountFilter::Pending => statement.bind(service),
        AccountFilter::With(verdict) => statement.bind(verdict.as_str()),
    };
    statement.bind(after.unwrap_or_default()).bind(i64::from(limit)).rows(conn)
}

/// See [`TokenAdmin::account`](tokenserver_db_common::TokenAdmin::account).
pub(crate) fn find(conn: &mut SqliteConnection, email: &str) -> Result<Option<AccountEntry>, Fault> {
    sql::<columns::AccountEntry>(format!("{COLUMNS} WHERE email = ?")).bind(email).row(conn)
}

/// See [`TokenAdmin::set_verdict`](tokenserver_db_common::TokenAdmin::set_verdict).
pub(crate) async fn set_verdict(
    engine: &SqliteEngine,
    email: &str,
    said: Option<Verdict>,
    now_ms: i64,
) -> Result<Option<Verdict>, Fault> {
    let email = email.to_owned();
    engine
        .write(move |conn| {
            let before = verdict(conn, &email)?;
            let decided_at = said.map(|_| now_ms);
            sql(DECIDE).bind(email.as_str()).bind(said.map(Verdict::as_str)).bind(decided_at).run(conn)?;
            sql(CLEAR).bind(email.as_str()).run(conn)?;
            Ok(before)
        })
        .await
}

/// See [`TokenAdmin::note_refusal`](tokenserver_db_common::TokenAdmin::note_refusal).
pub(crate) async fn note_refusal(engine: &SqliteEngine, email: &str, reason: &str, now_ms: i64) -> Result<(), Fault> {
    let (email, reason) = (email.to_owned(), reason.to_owned());
    engine
        .write(move |conn| {
            let statement = sql(REFUSED).bind(email.as_str()).bind(now_ms).bind(now_ms).bind(reason.as_str());
            statement.run(conn)?;
            sql(TRIM).bind(i64::from(MAX_NEWCOMERS)).run(conn)?;
            Ok(())
        })
        .await
}
