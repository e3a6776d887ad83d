//! Letting users in: load, plan, and carry the plan out.

use std::sync::Arc;

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use futures_util::FutureExt;
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::nodes::{Allocation, allocate};
use tokenserver_db_common::rules::{self, Facts, NewRow, Outcome, Place, Plan, Replaced};
use tokenserver_db_common::{Node, SERVICE, SignIn, SignedIn, TokenError, UserRow, Verdict, columns};

use crate::service::{Conn, lost};
use crate::{nodes, users};

/// The service, and beside it the account's rows; a row without a uid where there are none. In each of them what the
/// operator has said of the account.
const ROWS: &str = "
    SELECT
        services.id, EXISTS (SELECT 1 FROM nodes n WHERE n.service = services.id),
        users.uid, users.generation, users.client_state, users.created_at, users.replaced_at, users.nodeid,
        users.keys_changed_at, nodes.node, (SELECT verdict FROM syncserver_accounts WHERE email = $2)
    FROM services
        LEFT JOIN users ON users.service = services.id AND users.email = $2
        LEFT JOIN nodes ON nodes.id = users.nodeid
    WHERE services.service = $1";

const INSERT: &str = "
    INSERT INTO users (service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
    VALUES ($1, $2, $3, $4, $5, NULL, $6, $7)
    RETURNING uid";

const RELEASE: &str = "UPDATE nodes SET available = $1 WHERE id = $2";

const TAKE: &str = "UPDATE nodes SET available = $1, current_load = $2 WHERE id = $3";

/// Of those whose sign-in depends on how many users there are, or takes a place on a node. Taken after the lock on the
/// account by all, so that nobody waits in a circle; the pair of numbers is this program's own.
pub(crate) const PLACES_LOCK: &str = "SELECT pg_advisory_xact_lock(1398361665, 1)";

/// What the database says of an account.
struct Found {
    service: i32,
    has_nodes: bool,
    verdict: Option<Verdict>,
    rows: Vec<UserRow>,
}

/// See [`TokenDb::sign_in`](tokenserver_db_common::TokenDb::sign_in). Nearly all sign-ins change nothing: these are
/// answered without a lock.
pub(crate) async fn sign_in(engine: &PostgresEngine, request: &SignIn) -> Result<SignedIn, TokenError> {
    let request = Arc::new(request.clone());
    let (_, plan) = engine
        .read(|conn| {
            let request = Arc::clone(&request);
            async move { make_plan(conn, &request).await }.boxed()
        })
        .await?;
    if let Some(answer) = plan.settled() {
        return answer;
    }
    let is_alone = is_exclusive(&request, &plan);
    let mut first = account_lock(request.account.email());
    if is_alone {
        first = format!("{first}; {PLACES_LOCK}");
    }
    // By the time that the lock is had, another write may have come in between, so that the plan is made anew.
    engine
        .transaction(&first, |conn| {
            let request = Arc::clone(&request);
            async move {
                let (mut service, mut plan) = make_plan(conn, &request).await?;
                if !is_alone && is_exclusive(&request, &plan) {
                    conn.batch(PLACES_LOCK).await?;
                    (service, plan) = make_plan(conn, &request).await?;
                }
                carry_out(conn, service, &request, plan).await
            }
            .boxed()
        })
        .await?
}

/// The statement that takes the lock on an account until the end of the transaction. Accounts of one hash wait for
/// each other for nothing, which harms nobody. The hash (FNV-1a) is the same for all builds of this program, as the
/// hasher of the standard library need not be.
pub(crate) fn account_lock(email: &str) -> String {
    let hash = email.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("SELECT pg_advisory_xact_lock(1398361666, {})", hash.cast_signed())
}

/// Whether a plan may only be carried out by one sign-in at a time.
fn is_exclusive(request: &SignIn, plan: &Plan) -> bool {
    matches!(&plan.outcome, Outcome::Insert(row)
        if row.place == Place::Allocate || row.created && request.policy.max_users.is_some())
}

async fn make_plan(conn: &mut Conn, request: &SignIn) -> Result<(i32, Plan), TokenError> {
    let found = find(conn, request.account.email()).await?;
    let users = if rules::counts_users(&found.rows, &request.policy) { users::count(conn).await? } else { 0 };
    let facts = Facts { rows: &found.rows, verdict: found.verdict, has_nodes: found.has_nodes, users };
    Ok((found.service, rules::plan(request, &facts)))
}

async fn find(conn: &mut Conn, email: &str) -> Result<Found, Fault> {
    type Row = (i32, bool, Option<UserRow>, Option<String>);
    let statement = sql::<(Integer, Bool, Nullable<columns::UserRow>, Nullable<Text>)>(ROWS)
        .bind::<Text, _>(SERVICE)
        .bind::<Text, _>(email.to_owned());
    let found: Vec<Row> = statement.rows(conn).await?;
    let (service, has_nodes, .., verdict) = found.first().ok_or_else(lost)?;
    let (service, has_nodes, verdict) = (*service, *has_nodes, Verdict::of_column(verdict.as_deref()));
    let rows = found.into_iter().filter_map(|(_, _, row, _)| row).collect();
    Ok(Found { service, has_nodes, verdict, rows })
}

/// The outer result is the transaction's, so that what a refusal writes is kept: an inner error does not undo.
async fn carry_out(
    conn: &mut Conn,
    service: i32,
    request: &SignIn,
    plan: Plan,
) -> Result<Result<SignedIn, TokenError>, TokenError> {
    // Nobody waits for what these answer, and they hold nothing but numbers: so they go with the COMMIT.
    let mut last: Vec<String> = plan.replaced.into_iter().map(replace).collect();
    let result = match plan.outcome {
        Outcome::Accept(answer) => Ok(answer),
        Outcome::Update(answer) => {
            last.push(update(&answer));
            Ok(answer)
        }
        Outcome::Insert(row) => Ok(insert(conn, service, request, row).await?),
        Outcome::Refuse(refusal) => Err(refusal.into()),
        Outcome::RetiredWithoutNode => Err(TokenError::RetiredWithoutNode),
    };
    if !last.is_empty() {
        conn.finish_with(last.join("; "));
    }
    Ok(result)
}

fn replace(Replaced { uid, at }: Replaced) -> String {
    format!("UPDATE users SET replaced_at = {at} WHERE uid = {uid}")
}

/// Absent keys overwrite nothing.
fn update(answer: &SignedIn) -> String {
    let SignedIn { uid, generation, .. } = answer;
    let keys = answer.keys_changed_at.map_or_else(String::new, |keys| format!(", keys_changed_at = {keys}"));
    format!("UPDATE users SET generation = {generation}{keys} WHERE uid = {uid}")
}

async fn insert(conn: &mut Conn, service: i32, request: &SignIn, row: NewRow) -> Result<SignedIn, TokenError> {
    let (nodeid, node) = match row.place.clone() {
        Place::At { nodeid, node } => (nodeid, node),
        Place::Allocate => take_place(conn, request).await?,
    };
    let statement = sql::<(BigInt,)>(INSERT)
        .bind::<Integer, _>(service)
        .bind::<Text, _>(request.account.email().to_owned())
        .bind::<BigInt, _>(row.generation)
        .bind::<Text, _>(row.client_state.clone())
        .bind::<BigInt, _>(row.created_at)
        .bind::<BigInt, _>(nodeid)
        .bind::<Nullable<BigInt>, _>(row.keys_changed_at);
    let found: Option<(i64,)> = statement.row(conn).await?;
    let (uid,) = found.ok_or_else(|| Fault::internal("an inserted row has no uid"))?;
    Ok(row.signed_in(UserId::try_from(uid).map_err(Fault::internal)?, node))
}

/// Gives the user a place on a node: the id for the row, and the node for the answer.
async fn take_place(conn: &mut Conn, request: &SignIn) -> Result<(i64, Node), TokenError> {
    let nodes = nodes::load(conn).await?;
    let Allocation { node, released } =
        allocate(&nodes, request.policy.node_capacity_release_rate).ok_or(TokenError::NoNode)?;
    for (id, available) in released {
        sql::<()>(RELEASE).bind::<Integer, _>(column(available)?).bind::<BigInt, _>(id).run(conn).await?;
    }
    let statement = sql::<()>(TAKE)
        .bind::<Integer, _>(column(node.available)?)
        .bind::<Integer, _>(column(node.current_load)?)
        .bind::<BigInt, _>(node.id);
    statement.run(conn).await?;
    Ok((node.id, Node::at(&node.url)))
}

/// A number of places as the column has it.
pub(crate) fn column(places: i64) -> Result<i32, Fault> {
    i32::try_from(places).map_err(Fault::internal)
}
