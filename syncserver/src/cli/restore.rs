//! `syncserver restore`.

use std::path::PathBuf;
use std::sync::Arc;

use super::copying::{Filling, Progress, aside, open_twice, rewound};
use super::output;
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
    aside(move || {
        let bytes = whole.metadata().map_or(0, |metadata| metadata.len());
        let progress = Progress::of_bytes(bytes);
        let reader = Reader::new(rewound(&whole)?).map_err(|error| format!("{about}: {error}"))?;
        let verified = reader.verify(|reader| progress.set_bytes(reader.position()));
        progress.clear();
        verified.map_err(|error| format!("{about}: {error}. Nothing was restored"))
    })
    .await?;
    let about = name.clone();
    let counts = filling
        .fill(settings, "restore", move |sink| {
            let failed = |error| format!("{about}: {error}");
            let mut reader = Reader::new(rewound(&backup)?).map_err(failed)?;
            while let Some(item) = reader.next_item().map_err(failed)? {
                sink.push(item).map_err(|error| error.to_string())?;
            }
            Ok(())
        })
        .await?;
    output::print(&format!(
        "Restored {counts} from {name}.\nThe master secret is not part of a backup: start the server with the one that it \
         had. (With another one it works as well; clients get new tokens by themselves.)\n"
    ))
}
