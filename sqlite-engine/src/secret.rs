//! The fingerprint of the master secret, kept in the database.

use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};

use crate::sql::sql;

const READ: &str = "SELECT value FROM server_meta WHERE name = 'secret_fingerprint'";
const WRITE: &str = "INSERT INTO server_meta (name, value) VALUES ('secret_fingerprint', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

/// See [`SecretClaim`]. Runs as one write.
pub(crate) fn claim(
    conn: &mut SqliteConnection,
    secret: &SecretFingerprint,
    previous: &[SecretFingerprint],
) -> Result<SecretClaim, Fault> {
    let found = sql::<(Text,)>(READ).row(conn)?.map(|(text,): (String,)| SecretFingerprint(text));
    let claim = match found {
        Some(found) if found == *secret => return Ok(SecretClaim::Same),
        Some(found) if previous.contains(&found) => SecretClaim::Rotated,
        Some(_) => return Ok(SecretClaim::Other),
        None => SecretClaim::Claimed,
    };
    sql(WRITE).bind(secret.0.as_str()).run(conn)?;
    Ok(claim)
}

/// Whether the database belongs to some secret already.
pub(crate) fn is_claimed(conn: &mut SqliteConnection) -> Result<bool, Fault> {
    Ok(sql::<(Text,)>(READ).row::<(String,)>(conn)?.is_some())
}
