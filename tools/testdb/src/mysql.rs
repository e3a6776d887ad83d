//! The command lines of MariaDB.

use crate::folder::Folder;
use crate::programs::Programs;
use crate::server::{PASSWORD, USER};
use crate::{Options, ServerError};
use std::path::PathBuf;
use std::process::Command;

/// Who it may run as, if this process is root's.
pub(crate) const USERS: &[&str] = &["mysql", "nobody"];

/// Makes the data folder.
pub(crate) fn init(programs: &Programs, folder: &Folder, options: &Options) -> Result<Command, ServerError> {
    let mut command = folder.command(&programs.init)?;
    // `--no-defaults` has to be the first: the system's own settings are not these servers'.
    command.arg("--no-defaults").arg(format!("--datadir={}", folder.data().display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    if !options.durable {
        command.arg("--debug-no-sync");
    }
    Ok(command)
}

/// What the server runs each time it starts: our user, who may do all, is there; and nobody without a name, who would
/// be chosen before ours for connections from this machine.
pub(crate) fn access() -> String {
    let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
    format!(
        "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n\
         DELETE FROM mysql.global_priv WHERE User = '';\n\
         FLUSH PRIVILEGES;\n"
    )
}

/// Where [`access`] is kept.
pub(crate) fn access_file(folder: &Folder) -> PathBuf {
    folder.path().join("access.sql")
}

/// The server's socket.
pub(crate) fn socket(folder: &Folder) -> PathBuf {
    folder.path().join("socket")
}

/// Starts the server.
pub(crate) fn serve(
    programs: &Programs,
    folder: &Folder,
    port: u16,
    options: &Options,
) -> Result<Command, ServerError> {
    let mut command = folder.command(&programs.server)?;
    command.arg("--no-defaults");
    let mut set = |name: &str, value: &str| {
        command.arg(format!("--{name}={value}"));
    };
    let text = |path: PathBuf| path.display().to_string();
    set("datadir", &text(folder.data()));
    set("socket", &text(socket(folder)));
    set("pid-file", &text(folder.data().join("server.pid")));
    set("init-file", &text(access_file(folder)));
    set("port", &port.to_string());
    set("bind-address", "127.0.0.1");
    set("skip-name-resolve", "on");
    set("max-connections", "400");
    set("innodb-buffer-pool-size", if options.durable { "256M" } else { "64M" });
    // 2: what is committed is with the system, if not on the disk, so that it outlives a server that is killed.
    set("innodb-flush-log-at-trx-commit", if options.durable { "1" } else { "2" });
    if !options.durable {
        set("innodb-log-file-size", "64M");
        set("innodb-doublewrite", "off");
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    if !options.durable {
        command.arg("--debug-no-sync");
    }
    Ok(command)
}
