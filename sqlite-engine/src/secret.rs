//! The fingerprint of the master secret, kept in the database.

use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};

use crate::note;

/// See [`SecretClaim`]. Runs as one write.
pub(crate) fn claim(
    conn: &mut SqliteConnection,
    secret: &SecretFingerprint,
    previous: &[SecretFingerprint],
) -> Result<SecretClaim, Fault> {
    let found = note::read(conn, SecretFingerprint::NOTE)?.map(SecretFingerprint);
    let claim = match found {
        Some(found) if found == *secret => return Ok(SecretClaim::Same),
        Some(found) if previous.contains(&found) => SecretClaim::Rotated,
        Some(_) => return Ok(SecretClaim::Other),
        None => SecretClaim::Claimed,
    };
    note::write(conn, SecretFingerprint::NOTE, Some(&secret.0))?;
    Ok(claim)
}
