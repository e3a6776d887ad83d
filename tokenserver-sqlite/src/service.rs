//! The row of `services` that all the others refer to.

use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::SqliteConnection;
use sqlite_engine::sql;
use syncstorage_db_common::Fault;
use tokenserver_db_common::SERVICE;

/// Asked for each time: it costs a microsecond, and whether there are nodes is decided per request.
const LOAD: &str = "
    SELECT id, EXISTS (SELECT 1 FROM nodes WHERE nodes.service = services.id)
    FROM services
    WHERE service = ?";

/// The service of this server.
#[derive(Clone, Copy)]
pub(crate) struct Service {
    pub(crate) id: i64,
    pub(crate) has_nodes: bool,
}

pub(crate) fn load(conn: &mut SqliteConnection) -> Result<Service, Fault> {
    let row = sql::<(BigInt, Bool)>(LOAD).bind(SERVICE).row::<(i64, bool)>(conn)?;
    let (id, has_nodes) = row
        .ok_or_else(|| Fault::internal(format!("the table services has lost its row {SERVICE:?}; insert it again")))?;
    Ok(Service { id, has_nodes })
}

/// The number of the service, in tables that may be another server's.
pub(crate) fn id(conn: &mut SqliteConnection) -> Result<i64, Fault> {
    let row = sql::<(BigInt,)>("SELECT id FROM services WHERE service = ?").bind(SERVICE).row::<(i64,)>(conn)?;
    // Where nobody ever asked for it, there is no such service, and nothing of it.
    Ok(row.map_or(-1, |(id,)| id))
}
