//! `syncserver import`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use syncstorage_db_common::{Clock, DbError};

use super::copying::{Filling, Origin};
use super::output;
use crate::archive::adapt::Sieve;
use crate::backend;
use crate::causes::chain;
use crate::settings::Settings;

/// Where from, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database to copy: postgres://…, mysql://…, sqlite:///… or the path of an SQLite file. Where it has a password,
    /// rather give it by the environment: other users of this machine see the command line.
    #[arg(long, value_name = "URL", env = "SYNC_IMPORT_FROM", hide_env_values = true)]
    from: String,
    /// The database that has its users and nodes, if that is another one.
    #[arg(long, value_name = "URL", env = "SYNC_IMPORT_TOKENSERVER_FROM", hide_env_values = true)]
    tokenserver_from: Option<String>,
    #[command(flatten)]
    filling: Filling,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> Result<(), String> {
    let Arguments { from, tokenserver_from, filling } = arguments;
    let sources = backend::sources(settings, &from, tokenserver_from.as_deref()).await;
    let sources = sources.map_err(|error| error.to_string())?;
    let has_tokens = sources.tokens.is_some();
    let told_of = |error: DbError| chain(&error);
    let origin = Origin {
        urls: [Some(from), tokenserver_from].into_iter().flatten().collect(),
        nodes: sources.node_urls().await.map_err(told_of)?,
        accounts: sources.know_accounts().await.map_err(|error| chain(&error))?,
    };
    let sifted = Arc::new(Mutex::new((0, BTreeMap::new())));
    let told = Arc::clone(&sifted);
    let (counts, place) = filling
        .fill(
            settings,
            "import",
            origin,
            Box::new(move |sink| {
                let mut sieve = Sieve::new(sink);
                sources.dump_here(Clock::system().now_ms(), &mut sieve)?;
                *told.lock().unwrap_or_else(PoisonError::into_inner) = (sieve.left_out, sieve.domains);
                Ok(())
            }),
        )
        .await?;
    let mut summary = format!("Imported {counts} into {place}.\n");
    let (left_out, mut domains) = std::mem::take(&mut *sifted.lock().unwrap_or_else(PoisonError::into_inner));
    if left_out > 0 {
        summary.push_str(&format!(
            "{left_out} things were left out, since the protocol does not allow their names or payloads.\n"
        ));
    }
    let known = &settings.tokenserver.fxa_email_domain;
    domains.remove(known);
    for (domain, rows) in domains {
        summary.push_str(&format!(
            "Mind the accounts: {rows} rows of users are of the domain {domain:?}, and this server looks for those of \
             {known:?}, so that these users get new, empty storage. If their accounts server is the one of the settings, \
             set tokenserver.fxa_email_domain (SYNC_TOKENSERVER__FXA_EMAIL_DOMAIN) to that domain.\n"
        ));
    }
    if !has_tokens {
        summary.push_str(
            "There are no users in that database, only their storage. They stand in the tokenserver's one: run this again \
             with --force and --tokenserver-from URL. As it is, everybody comes as a new user.\n",
        );
    }
    summary.push_str(
        "Start the server with the master secret that the old one had, if you can. (With another one it works as well; \
         clients get new tokens by themselves.)\n",
    );
    output::print(&summary)
}
