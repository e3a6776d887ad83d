//! The master secret that the server makes for itself, in a file of the data folder.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use syncstorage_db_common::SecretFingerprint;

use super::secret::Secret;
use crate::hex::hex;

/// Random bytes in a master secret.
const SECRET_BYTES: usize = 32;

/// What the fingerprint of a master secret is a MAC of. Nothing that the server signs or derives begins like it.
const FINGERPRINT_LABEL: &[u8] = b"syncserver/v1/master-secret-fingerprint";

/// A master secret that could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file is there, but cannot be used.
    #[error("the master secret in {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be made.
    #[error("a master secret cannot be kept in {}: {reason}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no randomness.
    #[error("a master secret cannot be made: the system gives no random bytes")]
    NoRandomness,
}

/// Where the master secret is kept.
#[must_use]
pub fn master_secret_file(data_dir: &Path) -> PathBuf {
    data_dir.join("master_secret")
}

/// The master secret in a file, without one line break at its end; `None` where there is no such file.
pub fn read(path: &Path) -> Result<Option<Secret>, SecretFileError> {
    let unreadable = |reason: String| SecretFileError::Unreadable { path: path.to_owned(), reason };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let secret = text.strip_suffix('\n').unwrap_or(&text);
    // A server with an empty secret would sign with what everybody knows.
    if secret.is_empty() { Err(unreadable("the file is empty".to_owned())) } else { Ok(Some(Secret::new(secret))) }
}

/// Makes a random master secret and keeps it in a new file, that only this user may read, in a folder that is made if
/// need be. It is on the disk when this returns. If another process has made the file meanwhile, its secret is
/// returned: a file that exists is never replaced.
pub fn create(path: &Path) -> Result<Secret, SecretFileError> {
    let unwritable =
        |error: io::Error| SecretFileError::Unwritable { path: path.to_owned(), reason: error.to_string() };
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SecretFileError::NoRandomness)?;
    let secret = URL_SAFE.encode(bytes);
    match write_new(path, &secret).map_err(unwritable)? {
        Outcome::Written => Ok(Secret::new(secret)),
        Outcome::WasThere => {
            read(path)?.ok_or_else(|| unwritable(io::Error::other("another process makes and removes it")))
        }
    }
}

enum Outcome {
    Written,
    WasThere,
}

fn write_new(path: &Path, text: &str) -> io::Result<Outcome> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_private_folder(folder)?;
    // Such files have mode 0600. Under its own name the secret is seen whole or not at all.
    let mut file = tempfile::Builder::new().prefix(".master_secret.").tempfile_in(folder)?;
    writeln!(file, "{text}")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        // The name is on the disk when its folder is.
        Ok(_) => File::open(folder)?.sync_all().map(|()| Outcome::Written),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Outcome::WasThere),
        Err(error) => Err(error.error),
    }
}

/// Makes a folder that only this user may look into, if it is not there.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// What a database keeps of its master secret, so as to know it again: one-way, and of no use to sign anything.
#[must_use]
pub fn fingerprint(secret: &str) -> SecretFingerprint {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, FINGERPRINT_LABEL);
    SecretFingerprint(hex(tag.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = master_secret_file(&folder.path().join("new/data"));
        assert!(read(&path).unwrap().is_none());
        let secret = create(&path).unwrap();
        assert_eq!(URL_SAFE.decode(secret.expose()).unwrap().len(), SECRET_BYTES);
        assert_eq!(read(&path).unwrap(), Some(secret.clone()));
        assert_eq!(create(&path).unwrap(), secret);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn two_secrets_are_different() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| create(&folder.path().join(name)).unwrap());
        assert_ne!(one, other);
    }

    #[cfg(unix)]
    #[test]
    fn only_this_user_may_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = master_secret_file(&folder.path().join("data"));
        create(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn processes_that_start_at_once_agree_on_one_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = master_secret_file(folder.path());
        let path = path.as_path();
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(move || create(path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]));
    }

    #[test]
    fn a_secret_of_the_operators_own_is_verbatim() {
        let folder = tempfile::tempdir().unwrap();
        let path = master_secret_file(folder.path());
        for (text, secret) in [(" 007 \n", " 007 "), ("a\n\n", "a\n"), ("a", "a")] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().unwrap().expose(), secret);
        }
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = master_secret_file(folder.path());
        fs::write(&path, "\n").unwrap();
        let shown = path.display();
        let message = format!("the master secret in {shown} cannot be read: the file is empty");
        assert_eq!(read(&path).unwrap_err().to_string(), message);
        assert_eq!(create(&path).unwrap_err().to_string(), message);
        let below_a_file = path.join("data");
        assert!(create(&below_a_file).unwrap_err().to_string().starts_with("a master secret cannot be kept in "));
    }

    #[test]
    fn a_fingerprint_tells_secrets_apart_and_does_not_change() {
        let fingerprint = |secret| fingerprint(secret).0;
        assert_eq!(
            fingerprint("secret"),
            // printf 'syncserver/v1/master-secret-fingerprint' | openssl dgst -sha256 -hmac secret
            "2a0ac36dc7aaf4e6f073e7b21a428c84c927a7014ee372f7cbd08958f8550d46"
        );
        assert_ne!(fingerprint("secret"), fingerprint("Secret"));
    }
}
