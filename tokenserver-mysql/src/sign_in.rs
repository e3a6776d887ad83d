//! Letting users in: load, plan, and carry the plan out.

use diesel::sql_types::{BigInt, Bool, Nullable, Text};
use futures_util::FutureExt;
use network_engine::MysqlEngine;
use network_engine::mysql::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::nodes::{Allocation, allocate};
use tokenserver_db_common::rules::{self, Facts, NewRow, Outcome, Place, Plan, Replaced};
use tokenserver_db_common::{Node, SERVICE, SignIn, SignedIn, TokenError, UserRow, Verdict, columns};

use crate::Conn;
use crate::accounts::VERDICT;
use crate::users::{counted, is_account};
use crate::{lock, nodes, service};

const INSERT: &str = "
    INSERT INTO users (service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
    VALUES (?, ?, ?, ?, ?, NULL, ?, ?)";

/// Of this connection.
const UID: &str = "SELECT CAST(LAST_INSERT_ID() AS SIGNED)";

/// See [`TokenDb::sign_in`](tokenserver_db_common::TokenDb::sign_in). Nearly all sign-ins change nothing: these are one
/// statement, without a lock.
pub(crate) async fn sign_in(engine: &MysqlEngine, request: &SignIn) -> Result<SignedIn, TokenError> {
    let (_, plan) = engine
        .read(|conn| {
            let request = request.clone();
            async move { make_plan(conn, &request).await }.boxed()
        })
        .await?;
    if let Some(answer) = plan.settled() {
        return answer;
    }
    // Others may be on their way to become users, too: none of them may be counted before the others are there.
    let counts = matches!(&plan.outcome, Outcome::Insert(row) if row.created) && request.policy.max_users.is_some();
    // By the time of the lock, another write may have come in between, so that the plan is made anew.
    engine
        .transaction(&lock::account(request.account.email()), |conn| {
            let request = request.clone();
            async move {
                let mut is_locked = false;
                if counts {
                    service::lock(conn).await?;
                    is_locked = true;
                }
                let (service, plan) = make_plan(conn, &request).await?;
                carry_out(conn, service, is_locked, &request, plan).await
            }
            .boxed()
        })
        .await?
}

/// The service and what the operator has said of the account, with each row of it; one row without a user where it has
/// none. The users are only counted for that one, and only where their number matters.
async fn make_plan(conn: &mut Conn, request: &SignIn) -> Result<(i64, Plan), Fault> {
    type Columns = (BigInt, Bool, BigInt, Nullable<Text>, Nullable<columns::UserRow>);
    type Values = (i64, bool, i64, Option<String>, Option<UserRow>);
    let users = match request.policy.max_users {
        Some(_) => format!("IF(u.uid IS NULL, ({}), 0)", counted("s.id")),
        None => "0".to_owned(),
    };
    let statement = sql::<Columns>(format!(
        "SELECT
            s.id, EXISTS (SELECT 1 FROM nodes WHERE nodes.service = s.id), {users}, ({VERDICT}),
            u.uid, u.generation, u.client_state, u.created_at, u.replaced_at, u.nodeid, u.keys_changed_at, n.node
        FROM services s
            LEFT JOIN users u ON u.service = s.id AND {}
            LEFT JOIN nodes n ON n.id = u.nodeid
        WHERE s.service = ?",
        is_account("u")
    ));
    let email = request.account.email();
    let statement =
        statement.bind::<Text, _>(email).bind::<Text, _>(email).bind::<Text, _>(email).bind::<Text, _>(SERVICE);
    let found: Vec<Values> = statement.rows(conn).await?;
    let (service, has_nodes, users, verdict, _) = found.first().ok_or_else(service::lost)?;
    let (service, has_nodes, users) = (*service, *has_nodes, *users);
    let verdict = Verdict::of_column(verdict.as_deref());
    let rows: Vec<UserRow> = found.into_iter().filter_map(|(.., row)| row).collect();
    let facts = Facts { rows: &rows, verdict, has_nodes, users: users.unsigned_abs() };
    Ok((service, rules::plan(request, &facts)))
}

/// The outer result is the transaction's, so that what a refusal writes is kept: an inner error does not undo.
/// `is_locked`: whether the transaction has the service's lock. What has nothing but numbers in it goes with the COMMIT.
async fn carry_out(
    conn: &mut Conn,
    service: i64,
    is_locked: bool,
    request: &SignIn,
    plan: Plan,
) -> Result<Result<SignedIn, TokenError>, TokenError> {
    let mut last: Vec<String> = plan
        .replaced
        .iter()
        .map(|Replaced { uid, at }| format!("UPDATE users SET replaced_at = {at} WHERE uid = {uid}"))
        .collect();
    let answer = match plan.outcome {
        Outcome::Accept(answer) => Ok(answer),
        Outcome::Update(answer) => {
            last.push(update(&answer));
            Ok(answer)
        }
        Outcome::Insert(row) => Ok(insert(conn, service, is_locked, request, row, &mut last).await?),
        Outcome::Refuse(refusal) => Err(refusal.into()),
        Outcome::RetiredWithoutNode => Err(TokenError::RetiredWithoutNode),
    };
    if !last.is_empty() {
        conn.finish_with(last.join("; "));
    }
    Ok(answer)
}

/// Absent keys overwrite nothing.
fn update(answer: &SignedIn) -> String {
    let SignedIn { uid, generation, keys_changed_at, .. } = answer;
    let keys = keys_changed_at.map_or_else(String::new, |keys| format!(", keys_changed_at = {keys}"));
    format!("UPDATE users SET generation = {generation}{keys} WHERE uid = {uid}")
}

async fn insert(
    conn: &mut Conn,
    service: i64,
    is_locked: bool,
    request: &SignIn,
    new: NewRow,
    last: &mut Vec<String>,
) -> Result<SignedIn, TokenError> {
    let (nodeid, node) = match new.place.clone() {
        Place::At { nodeid, node } => (nodeid, node),
        Place::Allocate => take_place(conn, is_locked, request, last).await?,
    };
    let insert = sql(INSERT)
        .bind::<BigInt, _>(service)
        .bind::<Text, _>(request.account.email())
        .bind::<BigInt, _>(new.generation)
        .bind::<Text, _>(new.client_state.as_str())
        .bind::<BigInt, _>(new.created_at)
        .bind::<BigInt, _>(nodeid)
        .bind::<Nullable<BigInt>, _>(new.keys_changed_at);
    insert.run(conn).await?;
    let uid: Option<(i64,)> = sql::<(BigInt,)>(UID).row(conn).await?;
    let (uid,) = uid.ok_or_else(|| Fault::internal("an inserted row has no uid"))?;
    Ok(new.signed_in(UserId::try_from(uid).map_err(Fault::internal)?, node))
}

/// Gives the user a place on a node: the id for the row, and the node for the answer.
async fn take_place(
    conn: &mut Conn,
    is_locked: bool,
    request: &SignIn,
    last: &mut Vec<String>,
) -> Result<(i64, Node), TokenError> {
    if !is_locked {
        service::lock(conn).await?;
    }
    let nodes = nodes::locked(conn).await?;
    let Allocation { node, released } =
        allocate(&nodes, request.policy.node_capacity_release_rate).ok_or(TokenError::NoNode)?;
    for (id, available) in released {
        last.push(format!("UPDATE nodes SET available = {available} WHERE id = {id}"));
    }
    let (available, load) = (node.available, node.current_load);
    last.push(format!("UPDATE nodes SET available = {available}, current_load = {load} WHERE id = {}", node.id));
    Ok((node.id, Node::at(&node.url)))
}
