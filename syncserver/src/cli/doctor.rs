//! `syncserver doctor`.

use std::path::PathBuf;

use super::output;
use crate::doctor::{self, Finding, Status};
use crate::settings::{Settings, SettingsError};

/// How to look.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print the findings as JSON: a list of objects with check, status (ok, skipped, warn or fail) and message.
    #[arg(long)]
    json: bool,
    /// Trust the authorities whose certificates are in this file (PEM), rather than those that browsers trust: for a
    /// server with a certificate of one's own.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Settings that cannot be used are a finding as any other.
pub(super) async fn run(settings: Result<Settings, SettingsError>, arguments: Arguments) -> Result<(), String> {
    let mut told = |finding: &Finding| {
        if !arguments.json {
            let word = match finding.status {
                Status::Ok => "ok   ",
                Status::Skipped => "-    ",
                Status::Warn => "warn ",
                Status::Fail => "FAIL ",
            };
            // A reader that has had enough is told by the end of it.
            let _ = output::print(&format!("{word} {:<15}  {}\n", finding.check, finding.message));
        }
    };
    let findings = doctor::examine(settings.as_ref(), arguments.ca.as_deref(), &mut told).await?;
    if arguments.json {
        output::print_json(&findings)?;
    } else if let Ok(settings) = settings
        && settings.tokenserver.enabled
    {
        output::print(&format!(
            "\nFor Firefox: in about:config, set identity.sync.tokenserver.uri to\n    {}/1.0/sync/1.5\n",
            settings.public_url
        ))?;
    }
    match findings.iter().filter(|finding| finding.status == Status::Fail).count() {
        0 => Ok(()),
        1 => Err("one thing is wrong".to_owned()),
        some => Err(format!("{some} things are wrong")),
    }
}
