//! What is on this machine.

use std::path::Path;

use syncstorage_db_common::Clock;
use tokenserver_db_common::same_url;

use super::Report;
use crate::backend::{self, Attached, BackendError};
use crate::causes::chain;
use crate::settings::{Registration, Secret, Settings, secret_file};
use crate::tls;

/// With less space than this, in bytes, a database is about to be full.
const LITTLE_SPACE: u64 = 1 << 30;

/// With less space than this, in bytes, SQLite cannot go on for long: a large sync alone is more.
const NO_SPACE: u64 = 64 << 20;

/// What can be said of the settings by themselves.
pub(super) fn settings(settings: &Settings, report: &mut Report<'_>) {
    match settings.warnings.as_slice() {
        [] => report.ok("settings", "all of them are known and go together (`syncserver config dump` shows them)"),
        warnings => report.warn("settings", warnings.join("; ")),
    }
    if !settings.tokenserver.enabled {
        return;
    }
    let most = settings.tokenserver.max_users.map(|most| format!(", up to {most} users")).unwrap_or_default();
    let who = match &settings.tokenserver.registration {
        Registration::Open => {
            format!("open: everybody who finds this server may keep data here{most} (setting: registration)")
        }
        Registration::AllowList(_) => {
            format!("for those who are allowed (`syncserver user list --allowed`, setting: allow_list){most}")
        }
        Registration::Closed => "closed: only those who are users already".to_owned(),
    };
    // The server does not tell.
    report.ok("registration", format!("{who}; so say these settings, which a server reads at its start"));
}

/// Whether the server could use its certificate.
pub(super) fn certificate(settings: &Settings, report: &mut Report<'_>) {
    const CERTIFICATE: &str = "certificate";
    let Some(files) = &settings.tls else { return };
    match tls::check(files) {
        Ok(()) => report.ok(CERTIFICATE, format!("{} and its key can be used", files.certificate.display())),
        Err(error) => report.fail(CERTIFICATE, error.to_string()),
    }
}

/// The data folder.
pub(super) fn folder(settings: &Settings, report: &mut Report<'_>) {
    const FOLDER: &str = "data folder";
    let folder = &settings.data_dir;
    let shown = folder.display();
    if !folder.exists() {
        report.warn(FOLDER, format!("{shown} is not there yet; the server makes it at its first start"));
        return;
    }
    if let Err(error) = tempfile::tempfile_in(folder) {
        report.fail(
            FOLDER,
            format!(
                "{shown} cannot be written to by this user: {error}. Run this command as the user that the server runs as, \
                 or give it the folder (setting: data_dir; SYNC_DATA_DIR)"
            ),
        );
        return;
    }
    report.ok(FOLDER, format!("{shown} can be written to"));
}

/// The space that is left for data: on each disk once.
pub(super) fn space(settings: &Settings, report: &mut Report<'_>) {
    // What is wrong with their names is told of the databases.
    let files = backend::files(settings).unwrap_or_default().into_iter();
    let folders = files.filter_map(|file| file.parent().map(|folder| Path::new(".").join(folder)));
    let mut disks = Vec::new();
    for folder in std::iter::once(settings.data_dir.clone()).chain(folders) {
        // One that is not there yet is on no disk.
        let Ok(found) = rustix::fs::stat(&folder) else { continue };
        if !disks.contains(&found.st_dev) {
            disks.push(found.st_dev);
            space_in(&folder, report);
        }
    }
}

fn space_in(folder: &Path, report: &mut Report<'_>) {
    const SPACE: &str = "disk space";
    let free = match rustix::fs::statvfs(folder) {
        Ok(system) => system.f_bavail * system.f_frsize,
        Err(error) => return report.warn(SPACE, format!("the system does not tell: {error}")),
    };
    let message = format!("{} MB are free in {}", free >> 20, folder.display());
    match free {
        0..NO_SPACE => {
            report.fail(SPACE, format!("{message}; at least {} are needed: make room", NO_SPACE >> 20));
        }
        NO_SPACE..LITTLE_SPACE => report.warn(SPACE, format!("{message}: make room before it is full")),
        _ => report.ok(SPACE, message),
    }
}

/// Attaches to the databases, and asks each as the heartbeat does.
pub(super) async fn databases(settings: &Settings, report: &mut Report<'_>) -> Option<Attached> {
    const DATABASE: &str = "database";
    let attached = match backend::attach(settings, Clock::system()).await {
        Ok(attached) => attached,
        Err(error @ BackendError::NoFile { .. }) => {
            report.warn(DATABASE, error.to_string());
            return None;
        }
        Err(error) => {
            report.fail(DATABASE, error.to_string());
            return None;
        }
    };
    let storage = attached.storage.check().await.map_err(|error| chain(&error));
    let tokens = attached.tokens.check().await.map_err(|error| chain(&error));
    match storage.and(tokens) {
        Ok(()) => report.ok(DATABASE, format!("{} answers and has all its tables", attached.description)),
        Err(error) => report.fail(
            DATABASE,
            format!("{} does not answer as it should: {error} (setting: database_url)", attached.description),
        ),
    }
    Some(attached)
}

/// The master secret; `None` where it cannot be known here, or is none that the server would take.
pub(super) async fn secret(
    settings: &Settings,
    databases: Option<&Attached>,
    report: &mut Report<'_>,
) -> Option<Secret> {
    const SECRET: &str = "master secret";
    if let Some(databases) = databases
        && let Err(error) = databases.check_secret(settings).await
    {
        report.fail(SECRET, error.to_string());
        return None;
    }
    if let Some(secret) = &settings.master_secret {
        report.ok(SECRET, "set by the settings");
        return Some(secret.clone());
    }
    let path = secret_file::master_secret_file(&settings.data_dir);
    match secret_file::read(&path) {
        Ok(Some(secret)) => {
            match others_may_read(&path) {
                true => report
                    .warn(SECRET, format!("other users of this machine may read {0}: `chmod 600 {0}`", path.display())),
                false => report.ok(SECRET, format!("in {}, that only its owner may read", path.display())),
            }
            Some(secret)
        }
        Ok(None) => {
            report.warn(SECRET, format!("not set, and {} is not there yet", path.display()));
            None
        }
        Err(error) => {
            report.fail(SECRET, error.to_string());
            None
        }
    }
}

fn others_may_read(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|file| file.st_mode & 0o077 != 0)
}

/// Whether the table of nodes sends users somewhere else.
pub(super) async fn nodes(settings: &Settings, databases: Option<&Attached>, report: &mut Report<'_>) {
    const NODES: &str = "nodes";
    let Some(databases) = databases.filter(|_| settings.tokenserver.enabled) else { return };
    let nodes = match databases.tokens.nodes().await {
        Ok(nodes) => nodes,
        Err(error) => return report.fail(NODES, chain(&error)),
    };
    let own = settings.public_url.to_string();
    let open = nodes.iter().filter(|node| !node.downed && !node.backoff && node.capacity > node.current_load).count();
    match nodes.as_slice() {
        [] => report.ok(NODES, "none: all users are on public_url"),
        [only] if settings.syncstorage.enabled && !same_url(&only.url, &own) => report.warn(
            NODES,
            format!(
                "users are sent to {}, which is the only row of the table nodes, and not to {own} (public_url)",
                only.url
            ),
        ),
        all if open == 0 => report.fail(
            NODES,
            format!(
                "none of the {} rows of the table nodes can take a new user: all are full, downed or in backoff",
                all.len()
            ),
        ),
        all => report.ok(NODES, format!("{} of {} can take new users", open, all.len())),
    }
}
