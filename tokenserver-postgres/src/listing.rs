//! The table `users`, as an operator sees it.

use diesel::sql_types::{BigInt, Text};
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{SERVICE, UserEntry, UserFilter, columns};

use crate::service::has_nul;

const COLUMNS: &str = "
    SELECT
        users.email,
        users.uid, users.generation, users.client_state, users.created_at, users.replaced_at, users.nodeid,
        users.keys_changed_at, nodes.node,
        EXISTS (SELECT 1 FROM nodes n WHERE n.service = services.id), accounts.verdict,
        (SELECT count(*) FROM syncserver_devices AS devices WHERE devices.uid = users.uid)
    FROM services
        JOIN users ON users.service = services.id
        LEFT JOIN nodes ON nodes.id = users.nodeid
        LEFT JOIN syncserver_accounts AS accounts ON accounts.email = users.email
    WHERE services.service = $1 AND users.uid > $2";

const IS_CURRENT: &str = "NOT EXISTS (
        SELECT 1 FROM users AS newer
        WHERE newer.email = users.email AND newer.service = users.service
            AND (newer.generation, newer.created_at, newer.uid) > (users.generation, users.created_at, users.uid)
    )";

/// What comes after `@` in ASCII: an e-mail that begins with the id and `@` is less than the id with this.
const BEHIND_AT: char = 'A';

/// See [`TokenAdmin::users`](tokenserver_db_common::TokenAdmin::users).
pub(crate) async fn users(
    engine: &PostgresEngine,
    filter: &UserFilter,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserEntry>, Fault> {
    let condition = match filter {
        UserFilter::Email(text) | UserFilter::FxaUid(text) if has_nul(text) => return Ok(Vec::new()),
        UserFilter::Current => IS_CURRENT,
        UserFilter::Email(_) => "users.email = $4",
        UserFilter::FxaUid(_) => "users.email >= $4 AND users.email < $5",
        UserFilter::Uid(_) => "users.uid = $4",
    };
    engine
        .read(|conn| {
            let statement = sql::<columns::UserEntry>(format!("{COLUMNS} AND {condition} ORDER BY users.uid LIMIT $3"))
                .bind::<Text, _>(SERVICE)
                .bind::<BigInt, _>(after.map_or(-1, UserId::get))
                .bind::<BigInt, _>(i64::from(limit));
            let statement = match filter {
                UserFilter::Current => statement,
                UserFilter::Email(email) => statement.bind::<Text, _>(email.clone()),
                UserFilter::FxaUid(fxa_uid) => {
                    let statement = statement.bind::<Text, _>(format!("{fxa_uid}@"));
                    statement.bind::<Text, _>(format!("{fxa_uid}{BEHIND_AT}"))
                }
                UserFilter::Uid(uid) => statement.bind::<BigInt, _>(uid.get()),
            };
            statement.rows(conn)
        })
        .await
}
