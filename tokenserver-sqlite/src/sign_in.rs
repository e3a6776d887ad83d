//! Letting users in: load, plan, and carry the plan out.

use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use sqlite_engine::{SqliteEngine, snapshot, sql};
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::nodes::{Allocation, allocate};
use tokenserver_db_common::rules::{self, Facts, NewRow, Outcome, Place, Plan, Replaced};
use tokenserver_db_common::{Node, SignIn, SignedIn, TokenError, UserRow, columns};

use crate::service::{self, Service};
use crate::{accounts, nodes, users};

const ROWS: &str = "
    SELECT
        users.uid, users.generation, users.client_state, users.created_at, users.replaced_at, users.nodeid,
        users.keys_changed_at, nodes.node
    FROM users LEFT JOIN nodes ON nodes.id = users.nodeid
    WHERE users.email = ? AND users.service = ?";

const REPLACE: &str = "UPDATE users SET replaced_at = ? WHERE uid = ?";

/// Absent keys overwrite nothing.
const UPDATE: &str = "
    UPDATE users
    SET generation = ?, keys_changed_at = coalesce(?, keys_changed_at)
    WHERE uid = ?";

const INSERT: &str = "
    INSERT INTO users (service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
    VALUES (?, ?, ?, ?, ?, NULL, ?, ?)
    RETURNING uid";

const RELEASE: &str = "UPDATE nodes SET available = ? WHERE id = ?";

const TAKE: &str = "UPDATE nodes SET available = ?, current_load = ? WHERE id = ?";

/// See [`TokenDb::sign_in`](tokenserver_db_common::TokenDb::sign_in). Nearly all sign-ins change nothing: these are
/// answered by a reader, and the writer does not hear of them.
pub(crate) async fn sign_in(engine: &SqliteEngine, request: &SignIn) -> Result<SignedIn, TokenError> {
    let (_, plan) = {
        let mut conn = engine.reader().await?;
        snapshot(&mut conn, |conn| make_plan(conn, request))?
    };
    if let Some(answer) = plan.settled() {
        return answer;
    }
    // By its turn, another write may have come in between, so that the plan is made anew.
    let request = request.clone();
    engine
        .write(move |conn| {
            let (service, plan) = make_plan(conn, &request)?;
            carry_out(conn, service, &request, plan)
        })
        .await?
}

fn make_plan(conn: &mut SqliteConnection, request: &SignIn) -> Result<(Service, Plan), Fault> {
    let service = service::load(conn)?;
    let rows = rows(conn, service, request.account.email())?;
    let verdict = accounts::verdict(conn, request.account.email())?;
    let users = if rules::counts_users(&rows, &request.policy) { users::count(conn, service.id)? } else { 0 };
    let facts = Facts { rows: &rows, verdict, has_nodes: service.has_nodes, users };
    Ok((service, rules::plan(request, &facts)))
}

fn rows(conn: &mut SqliteConnection, service: Service, email: &str) -> Result<Vec<UserRow>, Fault> {
    sql::<columns::UserRow>(ROWS).bind(email).bind(service.id).rows(conn)
}

/// The outer result is the transaction's, so that what a refusal writes is kept: an inner error does not undo.
fn carry_out(
    conn: &mut SqliteConnection,
    service: Service,
    request: &SignIn,
    plan: Plan,
) -> Result<Result<SignedIn, TokenError>, TokenError> {
    for Replaced { uid, at } in plan.replaced {
        sql(REPLACE).bind(at).bind(uid.get()).run(conn)?;
    }
    match plan.outcome {
        Outcome::Accept(answer) => Ok(Ok(answer)),
        Outcome::Update(answer) => {
            let update = sql(UPDATE).bind(answer.generation).bind(answer.keys_changed_at).bind(answer.uid.get());
            update.run(conn)?;
            Ok(Ok(answer))
        }
        Outcome::Insert(row) => insert(conn, service, request, row).map(Ok),
        Outcome::Refuse(refusal) => Ok(Err(refusal.into())),
        Outcome::RetiredWithoutNode => Ok(Err(TokenError::RetiredWithoutNode)),
    }
}

fn insert(
    conn: &mut SqliteConnection,
    service: Service,
    request: &SignIn,
    row: NewRow,
) -> Result<SignedIn, TokenError> {
    let (nodeid, node) = match row.place.clone() {
        Place::At { nodeid, node } => (nodeid, node),
        Place::Allocate => take_place(conn, service, request)?,
    };
    let found: Option<(i64,)> = sql::<(BigInt,)>(INSERT)
        .bind(service.id)
        .bind(request.account.email())
        .bind(row.generation)
        .bind(row.client_state.as_str())
        .bind(row.created_at)
        .bind(nodeid)
        .bind(row.keys_changed_at)
        .row(conn)?;
    let (uid,) = found.ok_or_else(|| Fault::internal("an inserted row has no uid"))?;
    Ok(row.signed_in(UserId::try_from(uid).map_err(Fault::internal)?, node))
}

/// Gives the user a place on a node: the id for the row, and the node for the answer.
fn take_place(conn: &mut SqliteConnection, service: Service, request: &SignIn) -> Result<(i64, Node), TokenError> {
    let nodes = nodes::load(conn, service.id)?;
    let Allocation { node, released } =
        allocate(&nodes, request.policy.node_capacity_release_rate).ok_or(TokenError::NoNode)?;
    for (id, available) in released {
        sql(RELEASE).bind(available).bind(id).run(conn)?;
    }
    sql(TAKE).bind(node.available).bind(node.current_load).bind(node.id).run(conn)?;
    Ok((node.id, Node::at(&node.url)))
}
