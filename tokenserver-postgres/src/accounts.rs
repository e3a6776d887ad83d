//! The table `syncserver_accounts`: what the operator has said of accounts, and who was refused.

use diesel::sql_types::{BigInt, Nullable, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::{AccountEntry, AccountFilter, MAX_NEWCOMERS, SERVICE, Verdict, columns};

use crate::service::has_nul;
use crate::sign_in::account_lock;

const VERDICT: &str = "SELECT verdict FROM syncserver_accounts WHERE email = $1";

const DECIDE: &str = "
    INSERT INTO syncserver_accounts (email, verdict, decided_at) VALUES ($1, $2, $3)
    ON CONFLICT (email) DO UPDATE SET verdict = excluded.verdict, decided_at = excluded.decided_at";

const CLEAR: &str = "DELETE FROM syncserver_accounts WHERE email = $1 AND verdict IS NULL AND refusals = 0";

/// Makes room for the row first: what is inserted is not seen by the rest of the statement.
const REFUSED: &str = "
    WITH oldest AS (
        DELETE FROM syncserver_accounts
        WHERE email IN (
            SELECT email FROM syncserver_accounts
            WHERE verdict IS NULL AND email <> $1
            ORDER BY refused_last DESC, email
            OFFSET $4
        )
    )
    INSERT INTO syncserver_accounts AS known (email, refusals, refused_first, refused_last, reason)
    VALUES ($1, 1, $2, $2, $3)
    ON CONFLICT (email) DO UPDATE SET
        refusals = known.refusals + 1,
        refused_first = coalesce(known.refused_first, excluded.refused_first),
        refused_last = excluded.refused_last,
        reason = excluded.reason";

const COLUMNS: &str = "
    SELECT email, verdict, decided_at, refusals, refused_first, refused_last, reason
    FROM syncserver_accounts AS accounts";

const FIND: &str = "
    SELECT email, verdict, decided_at, refusals, refused_first, refused_last, reason
    FROM syncserver_accounts
    WHERE email = $1";

const IS_PENDING: &str = "verdict IS NULL AND refusals > 0
    AND NOT EXISTS (
        SELECT 1 FROM users
        WHERE users.email = accounts.email AND users.service = (SELECT id FROM services WHERE service = $1)
    )";

/// See [`TokenAdmin::accounts`](tokenserver_db_common::TokenAdmin::accounts).
pub(crate) async fn list(
    engine: &PostgresEngine,
    filter: AccountFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<AccountEntry>, Fault> {
    // Which accounts, and the value of $1.
    let (condition, value) = match filter {
        AccountFilter::Pending => (IS_PENDING, SERVICE),
        AccountFilter::With(verdict) => ("verdict = $1", verdict.as_str()),
    };
    let after = after.unwrap_or_default().to_owned();
    engine
        .read(|conn| {
            let text = format!("{COLUMNS} WHERE {condition} AND email > $2 ORDER BY email LIMIT $3");
            let statement = sql::<columns::AccountEntry>(text)
                .bind::<Text, _>(value)
                .bind::<Text, _>(after.clone())
                .bind::<BigInt, _>(i64::from(limit));
            statement.rows(conn)
        })
        .await
}

/// See [`TokenAdmin::account`](tokenserver_db_common::TokenAdmin::account).
pub(crate) async fn find(engine: &PostgresEngine, email: &str) -> Result<Option<AccountEntry>, Fault> {
    if has_nul(email) {
        return Ok(None);
    }
    let email = email.to_owned();
    engine.read(|conn| sql::<columns::AccountEntry>(FIND).bind::<Text, _>(email.clone()).row(conn)).await
}

/// See [`TokenAdmin::set_verdict`](tokenserver_db_common::TokenAdmin::set_verdict).
pub(crate) async fn set_verdict(
    engine: &PostgresEngine,
    email: &str,
    verdict: Option<Verdict>,
    now_ms: i64,
) -> Result<Option<Verdict>, Fault> {
    if has_nul(email) {
        return Err(Fault::internal("an account's e-mail holds U+0000"));
    }
    engine
        .transaction(&account_lock(email), |conn| {
            let email = email.to_owned();
            async move {
                let find = sql::<(Nullable<Text>,)>(VERDICT).bind::<Text, _>(email.clone());
                let before: Option<(Option<String>,)> = find.row(conn).await?;
                let decide = sql::<()>(DECIDE)
                    .bind::<Text, _>(email.clone())
                    .bind::<Nullable<Text>, _>(verdict.map(Verdict::as_str))
                    .bind::<Nullable<BigInt>, _>(verdict.map(|_| now_ms));
                decide.run(conn).await?;
                sql::<()>(CLEAR).bind::<Text, _>(email).run(conn).await?;
                Ok(before.and_then(|(verdict,)| Verdict::of_column(verdict.as_deref())))
            }
            .boxed()
        })
        .await
}

/// See [`TokenAdmin::note_refusal`](tokenserver_db_common::TokenAdmin::note_refusal).
pub(crate) async fn note_refusal(engine: &PostgresEngine, email: &str, reason: &str, now_ms: i64) -> Result<(), Fault> {
    if has_nul(email) {
        return Ok(());
    }
    let (email, reason) = (email.to_owned(), reason.to_owned());
    engine
        .write(|conn| {
            let statement = sql::<()>(REFUSED)
                .bind::<Text, _>(email.clone())
                .bind::<BigInt, _>(now_ms)
                .bind::<Text, _>(reason.clone())
                .bind::<BigInt, _>(i64::from(MAX_NEWCOMERS) - 1);
            statement.run(conn)
        })
        .await
        .map(drop)
}
