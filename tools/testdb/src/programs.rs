//! Where the programs of a database server are.

use crate::{Engine, ServerError};
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

/// The programs of a database server.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// Makes the data folder.
    pub(crate) init: PathBuf,
    /// The server.
    pub(crate) server: PathBuf,
}

impl Programs {
    /// Finds them.
    pub(crate) fn find(engine: Engine) -> Result<Self, ServerError> {
        let folders = folders(engine);
        let find = |names: &[&'static str]| {
            let found = folders
                .iter()
                .find_map(|folder| names.iter().map(|name| folder.join(name)).find(|path| path.is_file()));
            found.ok_or(ServerError::Missing { engine, program: names[0], package: package(engine) })
        };
        match engine {
            Engine::Postgres => {
                let server = find(&["postgres"])?;
                // Of the same version, wherever a link on the PATH leads.
                let real = fs::canonicalize(&server).unwrap_or(server);
                let init = real.with_file_name("initdb");
                if !init.is_file() {
                    return Err(ServerError::Missing { engine, program: "initdb", package: package(engine) });
                }
                Ok(Self { init, server: real })
            }
            Engine::Mysql => {
                Ok(Self { init: find(&["mariadb-install-db", "mysql_install_db"])?, server: find(&["mariadbd"])? })
            }
        }
    }
}

/// The package of Debian and its like that has an engine.
pub(crate) fn package(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgresql",
        Engine::Mysql => "mariadb-server",
    }
}

/// The folders to look in, the best first.
fn folders(engine: Engine) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if engine == Engine::Postgres {
        // Debian, then Fedora and its like: a folder for each version.
        folders.extend(versions(Path::new("/usr/lib/postgresql"), "", "bin"));
        folders.extend(versions(Path::new("/usr"), "pgsql-", "bin"));
    }
    let usual = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/libexec", "/opt/homebrew/bin"];
    folders.extend(usual.map(PathBuf::from));
    folders
}

/// The folders of versions in a folder, the newest first.
fn versions(parent: &Path, prefix: &str, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    found.sort_by_key(|(version, _)| Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_newest_version_is_first() {
        let folder = TempDir::new().unwrap();
        for name in ["9", "15", "100", "common"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = versions(folder.path(), "", "bin");
        let wanted = ["100/bin", "15/bin", "9/bin"].map(|name| folder.path().join(name));
        assert_eq!(found, wanted);
    }
}
