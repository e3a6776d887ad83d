//! The table `users`, as an operator sees it.

use diesel::sql_types::{BigInt, Text};
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{SERVICE, UserEntry, UserFilter, columns};

use crate::users::is_account;

const COLUMNS: &str = "
    SELECT
        u.email,
        u.uid, u.generation, u.client_state, u.created_at, u.replaced_at, u.nodeid, u.keys_changed_at, n.node,
        EXISTS (SELECT 1 FROM nodes WHERE nodes.service = s.id), a.verdict,
        (SELECT COUNT(*) FROM syncserver_devices d WHERE d.uid = u.uid)
    FROM services s
        JOIN users u ON u.service = s.id
        LEFT JOIN nodes n ON n.id = u.nodeid
        LEFT JOIN syncserver_accounts a ON a.email = CAST(u.email AS BINARY)
    WHERE s.service = ? AND u.uid > ?";

/// The comparison with spaces at the end left out is for the index.
const IS_CURRENT: &str = "NOT EXISTS (
        SELECT 1 FROM users newer
        WHERE newer.email = u.email AND CAST(newer.email AS BINARY) = CAST(u.email AS BINARY)
            AND newer.service = u.service
            AND (newer.generation > u.generation
                OR newer.generation = u.generation AND newer.created_at > u.created_at
                OR newer.generation = u.generation AND newer.created_at = u.created_at AND newer.uid > u.uid)
    )";

/// What comes after `@` in ASCII: an e-mail that begins with the id and `@` is less than the id with this.
const BEHIND_AT: char = 'A';

/// See [`TokenAdmin::users`](tokenserver_db_common::TokenAdmin::users).
pub(crate) async fn users(
    engine: &MysqlEngine,
    filter: &UserFilter,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserEntry>, Fault> {
    let condition = match filter {
        UserFilter::Current => IS_CURRENT.to_owned(),
        UserFilter::Email(_) => is_account("u"),
        UserFilter::FxaUid(_) => "u.email >= ? AND u.email < ?".to_owned(),
        UserFilter::Uid(_) => "u.uid = ?".to_owned(),
    };
    engine
        .read(|conn| {
            let statement = sql::<columns::UserEntry>(format!("{COLUMNS} AND {condition} ORDER BY u.uid LIMIT ?"))
                .bind::<Text, _>(SERVICE)
                .bind::<BigInt, _>(after.map_or(-1, UserId::get));
            let statement = match filter {
                UserFilter::Current => statement,
                UserFilter::Email(email) => statement.bind::<Text, _>(email.clone()).bind::<Text, _>(email.clone()),
                UserFilter::FxaUid(fxa_uid) => {
                    let statement = statement.bind::<Text, _>(format!("{fxa_uid}@"));
                    statement.bind::<Text, _>(format!("{fxa_uid}{BEHIND_AT}"))
                }
                UserFilter::Uid(uid) => statement.bind::<BigInt, _>(uid.get()),
            };
            statement.bind::<BigInt, _>(i64::from(limit)).rows(conn)
        })
        .await
}
