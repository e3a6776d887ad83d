//! The fingerprint of the master secret, kept in the database.

use syncstorage_db_common::{Fault, SecretClaim, SecretFingerprint};

use crate::driver::Driver;
use crate::engine::Engine;

/// See [`SecretClaim`]. Processes that start at once with the same secret all get on; with different ones, one does.
pub(crate) async fn claim<C: Driver>(
    engine: &Engine<C>,
    secret: &SecretFingerprint,
    previous: &[SecretFingerprint],
) -> Result<SecretClaim, Fault> {
    const NAME: &str = SecretFingerprint::NOTE;
    let mut conn = engine.connection().await?;
    if conn.change(C::ADD_META, vec![NAME.into(), secret.0.clone()]).await? > 0 {
        return Ok(SecretClaim::Claimed);
    }
    let found = conn.texts(C::READ_META, Some(NAME)).await?.pop();
    let found = SecretFingerprint(found.ok_or_else(|| Fault::internal("the fingerprint of the secret went away"))?);
    if found == *secret {
        return Ok(SecretClaim::Same);
    }
    if !previous.contains(&found) {
        return Ok(SecretClaim::Other);
    }
    // Only in the place of the one that was seen: another process may have been faster.
    let changed = conn.change(C::CHANGE_META, vec![secret.0.clone(), NAME.into(), found.0]).await?;
    if changed > 0 {
        return Ok(SecretClaim::Rotated);
    }
    let found = conn.texts(C::READ_META, Some(NAME)).await?.pop();
    Ok(if found.as_ref() == Some(&secret.0) { SecretClaim::Same } else { SecretClaim::Other })
}
