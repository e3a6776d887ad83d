//! `syncserver migrate`.

use super::output;
use crate::backend::{self, Migrated};
use crate::settings::Settings;

/// What to do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only print what there is to do.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(settings: &Settings, Arguments { dry_run }: Arguments) -> Result<(), String> {
    for Migrated { database, migrations } in
        backend::migrate(settings, dry_run).await.map_err(|error| error.to_string())?
    {
        let outcome = match (migrations.is_empty(), dry_run) {
            (true, _) => "up to date".to_owned(),
            (false, true) => format!("to be done: {}", migrations.join(", ")),
            (false, false) => format!("done: {}", migrations.join(", ")),
        };
        output::print(&format!("{database}: {outcome}\n"))?;
    }
    Ok(())
}
