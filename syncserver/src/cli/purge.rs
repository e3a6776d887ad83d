//! `syncserver purge`.

use std::sync::Arc;
use std::time::Duration;

use syncstorage_db_common::Clock;

use super::output;
use crate::node::Nodes;
use crate::purge::Purge;
use crate::settings::Settings;
use crate::signals::StopSignals;
use crate::{backend, logging, server};

/// The pause between two purges where the settings want none in the background.
const INTERVAL: Duration = Duration::from_secs(3600);

/// How to do it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Purge once, print what was removed, and end. Without it, purge every purge_interval seconds until told to stop.
    #[arg(long)]
    once: bool,
    /// Print it as JSON.
    #[arg(long, requires = "once")]
    json: bool,
}

pub(super) async fn run(settings: &Settings, Arguments { once, json }: Arguments) -> Result<(), String> {
    let clock = Clock::system();
    let (log, writing) = logging::logger(settings);
    let databases = backend::attach(settings, clock.clone()).await.map_err(|error| error.to_string())?;
    let purge = Purge {
        storage: databases.storage,
        tokens: settings.tokenserver.enabled.then_some(databases.tokens),
        public_url: settings.public_url.to_string(),
        nodes: Nodes {
            token_keys: databases.master_secret.map(|secret| Arc::new(server::token_keys(secret.expose(), settings))),
            clock: clock.clone(),
        },
        clock,
        log,
    };
    if !once {
        let signals = StopSignals::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
        let work = purge.every(settings.purge_interval.unwrap_or(INTERVAL), None);
        tokio::select! {
            () = work => {}
            () = signals.received() => {}
        }
        return Ok(());
    }
    let done = purge.once().await;
    // The reasons come before what is said of them.
    drop(writing);
    if json {
        output::print_json(&done)?;
    } else {
        let (bsos, batches, users) = (done.bsos, done.batches, done.users);
        output::print(&format!("Removed {bsos} expired records, {batches} stale batches, {users} replaced users.\n"))?;
    }
    match done.failures {
        0 => Ok(()),
        some => Err(format!("{some} things could not be removed; the reasons are above")),
    }
}
