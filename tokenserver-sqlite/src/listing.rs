//! The table `users`, as an operator sees it.

use diesel::sqlite::SqliteConnection;
use sqlite_engine::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{UserEntry, UserFilter, columns};

use crate::service;

const COLUMNS: &str = "
    SELECT
        users.email,
        users.uid, users.generation, users.client_state, users.created_at, users.replaced_at, users.nodeid,
        users.keys_changed_at, nodes.node,
        EXISTS (SELECT 1 FROM nodes AS n WHERE n.service = users.service), accounts.verdict,
        (SELECT count(*) FROM syncserver_devices AS devices WHERE devices.uid = users.uid)
    FROM users
        LEFT JOIN nodes ON nodes.id = users.nodeid
        LEFT JOIN syncserver_accounts AS accounts ON accounts.email = users.email
    WHERE users.service = ? AND users.uid > ?";

const IS_CURRENT: &str = "NOT EXISTS (
        SELECT 1 FROM users AS newer
        WHERE newer.email = users.email AND newer.service = users.service
            AND (newer.generation, newer.created_at, newer.uid) > (users.generation, users.created_at, users.uid)
    )";

/// What comes after `@` in ASCII: an e-mail that begins with the id and `@` is less than the id with this.
const BEHIND_AT: char = 'A';

/// See [`TokenAdmin::users`](tokenserver_db_common::TokenAdmin::users).
pub(crate) fn users(
    conn: &mut SqliteConnection,
    filter: &UserFilter,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<UserEntry>, Fault> {
    let service = service::load(conn)?.id;
    let condition = match filter {
        UserFilter::Current => IS_CURRENT,
        UserFilter::Email(_) => "users.email = ?",
        UserFilter::FxaUid(_) => "users.email >= ? AND users.email < ?",
        UserFilter::Uid(_) => "users.uid = ?",
    };
    let ends = match filter {
        UserFilter::FxaUid(fxa_uid) => (format!("{fxa_uid}@"), format!("{fxa_uid}{BEHIND_AT}")),
        _ => Default::default(),
    };
    let statement = sql::<columns::UserEntry>(format!("{COLUMNS} AND {condition} ORDER BY users.uid LIMIT ?"))
        .bind(service)
        .bind(after.map_or(-1, UserId::get));
    let statement = match filter {
        UserFilter::Current => statement,
        UserFilter::Email(email) => statement.bind(email.as_str()),
        UserFilter::FxaUid(_) => statement.bind(ends.0.as_str()).bind(ends.1.as_str()),
        UserFilter::Uid(uid) => statement.bind(uid.get()),
    };
    statement.bind(i64::from(limit)).rows(conn)
}
