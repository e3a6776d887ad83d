//! The master secret, and the databases that belong to it.

use syncstorage_db_common::{SecretClaim, SecretFingerprint};

use super::BackendError;
use super::engine::Engine;
use crate::settings::{Secret, Settings, secret_file};

/// The master secret of the settings, or the one that the server has made; `None` where there is neither. Makes nothing.
pub(super) fn known(settings: &Settings) -> Result<Option<Secret>, BackendError> {
    match &settings.master_secret {
        Some(secret) => Ok(Some(secret.clone())),
        None => Ok(secret_file::read(&secret_file::master_secret_file(&settings.data_dir))?),
    }
}

/// The master secret, which is made where there may be none yet. The databases belong to it from now on.
pub(super) async fn claim(settings: &Settings, engines: &[Engine]) -> Result<Secret, BackendError> {
    let secret = match find(settings, &engines[0]).await? {
        Some(secret) => secret,
        None => secret_file::create(&secret_file::master_secret_file(&settings.data_dir))?,
    };
    let (fingerprint, previous) = fingerprints(settings, &secret);
    for engine in engines {
        if engine.claim_secret(&fingerprint, &previous).await? == SecretClaim::Other {
            return Err(other(settings, engine));
        }
    }
    Ok(secret)
}

/// Refuses what [`claim`] refuses, and changes nothing.
pub(super) async fn check(settings: &Settings, engines: &[Engine]) -> Result<(), BackendError> {
    let Some(secret) = find(settings, &engines[0]).await? else { return Ok(()) };
    let (fingerprint, previous) = fingerprints(settings, &secret);
    for engine in engines {
        let kept = engine.note(SecretFingerprint::NOTE).await?.map(SecretFingerprint);
        if kept.is_some_and(|kept| kept != fingerprint && !previous.contains(&kept)) {
            return Err(other(settings, engine));
        }
    }
    Ok(())
}

/// A database on a server may be used by several processes, none of which could make up the secret of all.
pub(super) fn refuse_none(settings: &Settings, is_on_server: bool) -> Result<(), BackendError> {
    if is_on_server && settings.master_secret.is_none() { Err(BackendError::NoSecret) } else { Ok(()) }
}

/// The master secret; `None` where it is still to be made.
async fn find(settings: &Settings, storage: &Engine) -> Result<Option<Secret>, BackendError> {
    refuse_none(settings, !matches!(storage, Engine::Sqlite(_)))?;
    let found = known(settings)?;
    if found.is_none() && storage.note(SecretFingerprint::NOTE).await?.is_some() {
        let file = secret_file::master_secret_file(&settings.data_dir).display().to_string();
        return Err(BackendError::SecretGone { database: storage.describe(), file });
    }
    Ok(found)
}

/// Of the secret, and of those before it.
fn fingerprints(settings: &Settings, secret: &Secret) -> (SecretFingerprint, Vec<SecretFingerprint>) {
    let of = |secret: &Secret| secret_file::fingerprint(secret.expose());
    (of(secret), settings.previous_master_secrets.iter().map(of).collect())
}

fn other(settings: &Settings, engine: &Engine) -> BackendError {
    let source_of_secret = match settings.master_secret {
        Some(_) => "master_secret or SYNC_MASTER_SECRET".to_owned(),
        None => format!("the file {}", secret_file::master_secret_file(&settings.data_dir).display()),
    };
    BackendError::OtherSecret { database: engine.describe(), source_of_secret }
}
