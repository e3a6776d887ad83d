//! The temporary folder of a server, and who owns it.

use crate::ServerError;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Takes the folder and the server away when this process is gone without having done so. Its input ends then.
///
/// The names of both kinds of files that hold the server's process id are tried. A file may be cut short, or its process
/// be gone; there is nobody to tell. A process of the server that has not noticed yet may still make a file.
const WATCHER: &str = r#"
read -r _
for file in "$1/data/postmaster.pid" "$1/data/server.pid"; do
    [ -f "$file" ] && kill -KILL "$(head -n 1 "$file")"
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    rm -rf "$1" && break
done
"#;

/// A user of this system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Whom a server runs as: this process's user, but where that is root, which the servers refuse, the first of these
    /// names that the system knows.
    pub(crate) fn find(names: &[&str]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let known = names.iter().find_map(|name| Self::in_passwd(&users, name));
        // The number that nobody has everywhere.
        Some(known.unwrap_or(Self { uid: 65534, gid: 65534 }))
    }

    fn in_passwd(users: &str, name: &str) -> Option<Self> {
        let mut fields = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.split(':').skip(1);
        Some(Self { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    }
}

/// The folder of a server. It goes when it is dropped, and soon after this process is gone if that is earlier.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    owner: Option<Owner>,
    watcher: Option<Child>,
}

impl Folder {
    /// Makes one that belongs to one of these users if this process is root's, else to its own.
    pub(crate) fn new(users: &[&str]) -> Result<Self, ServerError> {
        let folder = TempDir::with_prefix("testdb-").map_err(ServerError::file("no temporary folder"))?;
        let owner = Owner::find(users);
        let mut folder = Self { path: folder.keep(), owner, watcher: None };
        folder.give_away(&folder.path)?;
        let mut watcher = Command::new("/bin/sh");
        // In a group of its own, so that Ctrl-C on a terminal does not reach it.
        watcher.args(["-c", WATCHER, "testdb-watcher"]).arg(&folder.path).process_group(0);
        watcher.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        folder.watcher = Some(watcher.spawn().map_err(ServerError::file("/bin/sh"))?);
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the server keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Where it says what it does.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The last lines of what it said.
    pub(crate) fn log_tail(&self) -> String {
        const LINES: usize = 20;
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Makes a file that only the server can read.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<(), ServerError> {
        let failed = || format!("cannot write {}", path.display());
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(ServerError::file(failed()))?;
        file.write_all(text.as_bytes()).map_err(ServerError::file(failed()))?;
        self.give_away(path)
    }

    fn give_away(&self, path: &Path) -> Result<(), ServerError> {
        let Some(Owner { uid, gid }) = self.owner else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(ServerError::file(format!("cannot give {} away", path.display())))
    }

    /// A command that runs as the folder's owner, in the folder, writes to the log, and knows nothing of the settings of
    /// whoever started this process.
    pub(crate) fn command(&self, program: &Path) -> Result<Command, ServerError> {
        let failed = || format!("cannot write {}", self.log().display());
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log()).map_err(ServerError::file(failed()))?;
        let errors = log.try_clone().map_err(ServerError::file(failed()))?;
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C.UTF-8");
        command.env("TZ", "UTC").env("HOME", &self.path).env("TMPDIR", &self.path).current_dir(&self.path);
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        Ok(command)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}
