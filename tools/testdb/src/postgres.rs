//! The command lines of Postgres.

use crate::folder::Folder;
use crate::programs::Programs;
use crate::server::USER;
use crate::{Options, ServerError};
use std::process::Command;

/// Who it may run as, if this process is root's.
pub(crate) const USERS: &[&str] = &["postgres", "nobody"];

/// [`crate::server::PASSWORD`] as Postgres keeps it, derived in one round in place of 4096. Those are as good as nothing
/// where they are compiled for speed, and a tenth of a second for each connection in a debug build.
const PASSWORD: &str = "SCRAM-SHA-256$1:c2FsdCBmb3IgdGVzdGluZw==$y9JS5sUhs61hgZTrn2gGkMeFB+syX1SQAixGQG50aLY=:\
                        lxktNNFULrT1LzWQ1rctIZBTwia39AWrTizn6K5qPbY=";

/// Makes the data folder.
pub(crate) fn init(programs: &Programs, folder: &Folder, options: &Options) -> Result<Command, ServerError> {
    let password = folder.path().join("password");
    folder.write(&password, PASSWORD)?;
    let mut command = folder.command(&programs.init)?;
    command.arg("-D").arg(folder.data()).args(["-U", USER, "--auth-local=trust", "--auth-host=scram-sha-256"]);
    command.arg(format!("--pwfile={}", password.display())).args(["--encoding=UTF8", "--no-instructions"]);
    // As on most servers in earnest, text is not in the order of its bytes unless a column or query says so. From
    // Postgres 15 on that can be had whatever locales the system has.
    if knows_icu(programs) {
        command.args(["--locale-provider=icu", "--icu-locale=en-US"]);
    }
    if !options.durable {
        command.arg("--no-sync");
    }
    Ok(command)
}

fn knows_icu(programs: &Programs) -> bool {
    let help = Command::new(&programs.init).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--icu-locale"))
}

/// Who may come in, in place of what `initdb` wrote: this process by the socket, the others as the options say.
pub(crate) fn access(options: &Options) -> String {
    let mut text = "local all all trust\n".to_owned();
    if options.access.is_empty() {
        text.push_str("host all all 127.0.0.1/32 scram-sha-256\n");
    }
    for line in &options.access {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Starts the server.
pub(crate) fn serve(
    programs: &Programs,
    folder: &Folder,
    port: u16,
    options: &Options,
) -> Result<Command, ServerError> {
    let mut command = folder.command(&programs.server)?;
    command.arg("-D").arg(folder.data()).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
    let mut set = |name: &str, value: &str| {
        command.args(["-c", &format!("{name}={value}")]);
    };
    set("listen_addresses", "127.0.0.1");
    set("max_connections", "400");
    set("shared_buffers", if options.durable { "256MB" } else { "64MB" });
    if !options.durable {
        // What is committed is with the system all the same, so that it outlives a server that is killed.
        set("fsync", "off");
        set("full_page_writes", "off");
        // Else tests that come and go with their databases wait for the disk at each checkpoint.
        set("max_wal_size", "2GB");
        set("checkpoint_timeout", "1h");
    }
    for (name, value) in &options.settings {
        set(name, value);
    }
    Ok(command)
}
