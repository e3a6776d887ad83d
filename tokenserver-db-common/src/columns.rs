//! What a backend selects for each of the types of this crate that Diesel makes of a row: the SQL types of the columns,
//! in the order of the fields. Each has the name of its type.
//!
//! Integers have 64 bits and flags are booleans, whatever the tables have.

use diesel::backend::Backend;
use diesel::deserialize::{FromStaticSqlRow, Queryable, Result};
use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use syncstorage_db_common::UserId;

use crate::Verdict;

/// `id, node, available, current_load, capacity, downed, backoff`
pub type NodeRow = (BigInt, Text, BigInt, BigInt, BigInt, Bool, Bool);

/// As [`NodeRow`], the flags as they are stored.
pub type NodeItem = (BigInt, Text, BigInt, BigInt, BigInt, BigInt, BigInt);

/// `uid, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at`, and the URL of the node.
pub type UserRow = (BigInt, BigInt, Text, BigInt, Nullable<BigInt>, BigInt, Nullable<BigInt>, Nullable<Text>);

/// `uid, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at`
pub type UserItem = (BigInt, Text, BigInt, Text, BigInt, Nullable<BigInt>, BigInt, Nullable<BigInt>);

/// The e-mail, the [`UserRow`], whether the service has any node, the operator's verdict, and how many devices there are.
pub type UserEntry = (Text, UserRow, Bool, Nullable<Text>, BigInt);

/// `uid, email, generation, keys_changed_at, client_state, replaced_at, nodeid`, the URL of the node, and whether the
/// service has any.
pub type ReplacedRow = (BigInt, Text, BigInt, Nullable<BigInt>, Text, BigInt, BigInt, Nullable<Text>, Bool);

/// `email, verdict, decided_at, refusals, refused_first, refused_last, reason`
pub type AccountItem =
    (Text, Nullable<Text>, Nullable<BigInt>, BigInt, Nullable<BigInt>, Nullable<BigInt>, Nullable<Text>);

/// As [`AccountItem`].
pub type AccountEntry = AccountItem;

/// `uid, agent, user_agent, first_seen, last_seen`
pub type DeviceItem = (BigInt, Text, Text, BigInt, BigInt);

/// `user_agent, first_seen, last_seen`
pub type DeviceEntry = (Text, BigInt, BigInt);

impl<DB> Queryable<UserEntry, DB> for crate::UserEntry
where
    DB: Backend,
    (String, crate::UserRow, bool, Option<String>, i64): FromStaticSqlRow<UserEntry, DB>,
{
    type Row = (String, crate::UserRow, bool, Option<String>, i64);

    fn build((email, row, has_nodes, verdict, devices): Self::Row) -> Result<Self> {
        let home = row.home(has_nodes);
        let verdict = Verdict::of_column(verdict.as_deref());
        Ok(Self { email, row, home, verdict, devices: devices.unsigned_abs() })
    }
}

type ReplacedValues = (i64, String, i64, Option<i64>, String, i64, i64, Option<String>, bool);

impl<DB> Queryable<ReplacedRow, DB> for crate::ReplacedRow
where
    DB: Backend,
    ReplacedValues: FromStaticSqlRow<ReplacedRow, DB>,
{
    type Row = ReplacedValues;

    fn build(values: Self::Row) -> Result<Self> {
        let (uid, email, generation, keys_changed_at, client_state, replaced_at, nodeid, url, has_nodes) = values;
        let uid = UserId::try_from(uid)?;
        let node = crate::home(nodeid, url.as_deref(), has_nodes);
        Ok(Self { uid, email, generation, keys_changed_at, client_state, replaced_at, node })
    }
}

impl<DB> Queryable<AccountEntry, DB> for crate::AccountEntry
where
    DB: Backend,
    crate::AccountItem: Queryable<AccountItem, DB>,
{
    type Row = <crate::AccountItem as Queryable<AccountItem, DB>>::Row;

    fn build(row: Self::Row) -> Result<Self> {
        let crate::AccountItem { email, verdict, decided_at, refusals, refused_first, refused_last, reason } =
            crate::AccountItem::build(row)?;
        let verdict = Verdict::of_column(verdict.as_deref());
        Ok(Self { email, verdict, decided_at, refusals, refused_first, refused_last, reason })
    }
}

impl<DB> Queryable<DeviceEntry, DB> for crate::DeviceEntry
where
    DB: Backend,
    (String, i64, i64): FromStaticSqlRow<DeviceEntry, DB>,
{
    type Row = (String, i64, i64);

    fn build((user_agent, first_seen, last_seen): Self::Row) -> Result<Self> {
        Ok(Self { agent: crate::Agent::of(&user_agent), first_seen, last_seen })
    }
}
