//! `syncserver restore`.

use std::path::PathBuf;
use std::sync::Arc;

use tokenserver_db_common::TokenItem;

use super::copying::{Filling, Origin, Progress, aside, open_twice, rewound};
use super::output;
use crate::archive::Item;
use crate::archive::read::Reader;
use crate::settings::Settings;

/// Where from, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The backup; - for the standard input.
    file: PathBuf,
    #[command(flatten)]
    filling: Filling,
}

pub(super) async fn run(settings: &Settings, Arguments { file, filling }: Arguments) -> Result<(), String> {
    let name = file.display().to_string();
    let backup = aside(move || open_twice(&file)).await?;
    // All of it, before anything is written.
    let (whole, about) = (Arc::clone(&backup), name.clone());
    let nodes = aside(move || {
        let bytes = whole.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress::of_bytes(bytes);
        let mut reader = Reader::new(rewound(&whole)?).map_err(|error| format!("{about}: {error}"))?;
        let mut nodes = Vec::new();
        let verified = loop {
            match reader.next_item() {
                Ok(Some(Item::Token(TokenItem::Node(node)))) => nodes.push(node.url),
                Ok(Some(_)) => progress.set_bytes(reader.position()),
                Ok(None) => break Ok(nodes),
                Err(error) => break Err(error),
            }
        };
        progress.clear();
        verified.map_err(|error| format!("{about}: {error}. Nothing was restored"))
    })
    .await?;
    let about = name.clone();
    let origin = Origin { urls: Vec::new(), nodes, accounts: true };
    let (counts, place) = filling
        .fill(
            settings,
            "restore",
            origin,
            Box::new(move |sink| {
                let failed = |error| format!("{about}: {error}");
                let mut reader = Reader::new(rewound(&backup)?).map_err(failed)?;
                while let Some(item) = reader.next_item().map_err(failed)? {
                    sink.push(item).map_err(|error| error.to_string())?;
                }
                Ok(())
            }),
        )
        .await?;
    output::print(&format!(
        "Restored {counts} from {name} into {place}.\nThe master secret is not part of a backup: start the server with the one that it \
         had. (With another one it works as well; clients get new tokens by themselves.)\n"
    ))
}
