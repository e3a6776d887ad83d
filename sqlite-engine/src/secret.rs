//! The fingerprint of the master secret, kept in the database.

use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};

use crate::note;

const NAME: &str = "secret_fingerprint";

/// See [`SecretClaim`]. Runs as one write.
pub(crate) fn claim(
    conn: &mut SqliteConnection,
    secret: &SecretFingerprint,
    previous: &[SecretFingerprint],
) -> Result<SecretClaim, Fault> {
    let found = note::read(conn, NAME)?.map(SecretFingerprint);
    let claim = match found {
        Some(found) if found == *secret => return Ok(SecretClaim::Same),
        Some(found) if previous.contains(&found) => SecretClaim::Rotated,
        Some(_) => return Ok(SecretClaim::Other),
        None => SecretClaim::Claimed,
    };
    note::write(conn, NAME, Some(&secret.0))?;
    Ok(claim)
}

/// Whether the database belongs to some secret already.
pub(crate) fn is_claimed(conn: &mut SqliteConnection) -> Result<bool, Fault> {
    Ok(note::read(conn, NAME)?.is_some())
}
