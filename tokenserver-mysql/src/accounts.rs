//! The table `syncserver_accounts`: what the operator has said of accounts, and who was refused.

use diesel::sql_types::{BigInt, Nullable, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::{AccountEntry, AccountFilter, MAX_NEWCOMERS, Verdict, columns};

use crate::{lock, service};

/// What the operator has said of an account; the placeholder takes the e-mail.
pub(crate) const VERDICT: &str = "SELECT verdict FROM syncserver_accounts WHERE email = CAST(? AS BINARY)";

const DECIDE: &str = "
    INSERT INTO syncserver_accounts (email, verdict, decided_at) VALUES (CAST(? AS BINARY), ?, ?)
    ON DUPLICATE KEY UPDATE verdict = VALUES(verdict), decided_at = VALUES(decided_at)";

const CLEAR: &str =
    "DELETE FROM syncserver_accounts WHERE email = CAST(? AS BINARY) AND verdict IS NULL AND refusals = 0";

const REFUSED: &str = "
    INSERT INTO syncserver_accounts (email, refusals, refused_first, refused_last, reason)
    VALUES (CAST(? AS BINARY), 1, ?, ?, ?)
    ON DUPLICATE KEY UPDATE
        refusals = refusals + 1,
        refused_first = COALESCE(refused_first, VALUES(refused_first)),
        refused_last = VALUES(refused_last),
        reason = VALUES(reason)";

/// The table that is deleted from may only be read as a table of its own.
fn trim() -> String {
    format!(
        "DELETE FROM syncserver_accounts WHERE email IN (
            SELECT email FROM (
                SELECT email FROM syncserver_accounts WHERE verdict IS NULL
                ORDER BY refused_last DESC, email LIMIT 1000000 OFFSET {MAX_NEWCOMERS}
            ) AS oldest
        )"
    )
}

const COLUMNS: &str = "
    SELECT
        CONVERT(a.email USING utf8mb4), a.verdict, a.decided_at, a.refusals, a.refused_first, a.refused_last, a.reason
    FROM syncserver_accounts a";

/// The first comparison is for the index, which leaves out spaces at the end; the second for every byte.
fn is_pending() -> String {
    format!(
        "a.verdict IS NULL AND a.refusals > 0 AND NOT EXISTS (
            SELECT 1 FROM users u
            WHERE u.email = CONVERT(a.email USING utf8mb4) COLLATE utf8mb4_bin AND CAST(u.email AS BINARY) = a.email
                AND u.service = {}
        )",
        service::ID
    )
}

/// See [`TokenAdmin::accounts`](tokenserver_db_common::TokenAdmin::accounts).
pub(crate) async fn list(
    engine: &MysqlEngine,
    filter: AccountFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<AccountEntry>, Fault> {
    let condition = match filter {
        AccountFilter::Pending => is_pending(),
        AccountFilter::With(_) => "a.verdict = ?".to_owned(),
    };
    let after = after.unwrap_or_default().to_owned();
    engine
        .read(|conn| {
            let text = format!("{COLUMNS} WHERE {condition} AND a.email > CAST(? AS BINARY) ORDER BY a.email LIMIT ?");
            let statement = sql::<columns::AccountEntry>(text);
            let statement = match filter {
                AccountFilter::Pending => statement,
                AccountFilter::With(verdict) => statement.bind::<Text, _>(verdict.as_str()),
            };
            statement.bind::<Text, _>(after.clone()).bind::<BigInt, _>(i64::from(limit)).rows(conn)
        })
        .await
}

/// See [`TokenAdmin::account`](tokenserver_db_common::TokenAdmin::account).
pub(crate) async fn find(engine: &MysqlEngine, email: &str) -> Result<Option<AccountEntry>, Fault> {
    engine
        .read(|conn| {
            let text = format!("{COLUMNS} WHERE a.email = CAST(? AS BINARY)");
            sql::<columns::AccountEntry>(text).bind::<Text, _>(email.to_owned()).row(conn)
        })
        .await
}

/// See [`TokenAdmin::set_verdict`](tokenserver_db_common::TokenAdmin::set_verdict).
pub(crate) async fn set_verdict(
    engine: &MysqlEngine,
    email: &str,
    verdict: Option<Verdict>,
    now_ms: i64,
) -> Result<Option<Verdict>, Fault> {
    engine
        .transaction(&lock::account(email), |conn| {
            let email = email.to_owned();
            async move {
                let find = sql::<(Nullable<Text>,)>(VERDICT).bind::<Text, _>(email.clone());
                let before: Option<(Option<String>,)> = find.row(conn).await?;
                let decide = sql(DECIDE)
                    .bind::<Text, _>(email.clone())
                    .bind::<Nullable<Text>, _>(verdict.map(Verdict::as_str))
                    .bind::<Nullable<BigInt>, _>(verdict.map(|_| now_ms));
                decide.run(conn).await?;
                sql(CLEAR).bind::<Text, _>(email).run(conn).await?;
                Ok(before.and_then(|(verdict,)| Verdict::of_column(verdict.as_deref())))
            }
            .boxed()
        })
        .await
}

/// See [`TokenAdmin::note_refusal`](tokenserver_db_common::TokenAdmin::note_refusal).
pub(crate) async fn note_refusal(engine: &MysqlEngine, email: &str, reason: &str, now_ms: i64) -> Result<(), Fault> {
    engine
        .transaction(&lock::account(email), |conn| {
            let (email, reason) = (email.to_owned(), reason.to_owned());
            async move {
                let statement = sql(REFUSED)
                    .bind::<Text, _>(email)
                    .bind::<BigInt, _>(now_ms)
                    .bind::<BigInt, _>(now_ms)
                    .bind::<Text, _>(reason);
                statement.run(conn).await?;
                conn.finish_with(trim());
                Ok(())
            }
            .boxed()
        })
        .await
}
