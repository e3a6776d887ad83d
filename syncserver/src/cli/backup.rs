//! `syncserver backup`.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use syncstorage_db_common::{Clock, Sink};
use tempfile::NamedTempFile;

use super::copying::{Progress, aside, is_dash, stop_at_signal};
use super::output;
use crate::archive::copy::{Sources, Stop};
use crate::archive::format::{Header, VERSION};
use crate::archive::write::Writer;
use crate::archive::{Counts, Item};
use crate::backend::Whole;
use crate::logging::rfc3339;
use crate::settings::Settings;

/// After so many items the progress is shown.
const STEP: u64 = 500;

/// Where to.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file to make, readable for its owner alone; - for the standard output.
    file: PathBuf,
    /// Overwrite a file that is there.
    #[arg(long)]
    force: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

/// What was written, for --json.
#[derive(Serialize)]
struct Report {
    file: PathBuf,
    created: String,
    bytes: u64,
    counts: Counts,
}

pub(super) async fn run(settings: &Settings, Arguments { file, force, json }: Arguments) -> Result<(), String> {
    if is_dash(&file) && io::stdout().is_terminal() {
        return Err("a backup is no text for a terminal; name a file, or send it to another program by a pipe".into());
    }
    if !is_dash(&file) && !force && file.exists() {
        return Err(format!("{} is there already; --force overwrites it", file.display()));
    }
    let whole = Whole::attach(settings).await.map_err(|error| error.to_string())?;
    let header = Header {
        version: VERSION,
        created: rfc3339(SystemTime::now()),
        server: env!("CARGO_PKG_VERSION").to_owned(),
        storage: whole.storage.to_owned(),
        tokenserver: whole.tokenserver.to_owned(),
    };
    let created = header.created.clone();
    let place = whole.describe();
    let (sources, stop, progress) = (whole.targets.sources(), stop_at_signal()?, Progress::of_unknown_length());
    let (to, shown) = (file.clone(), progress.clone());
    let written = aside(move || match is_dash(&to) {
        true => write(io::stdout(), header, &sources, stop, shown).map(|(counts, bytes, _)| (counts, bytes)),
        false => write_file(&to, force, header, &sources, stop, shown),
    })
    .await;
    progress.clear();
    let (counts, bytes) = written.map_err(|error| format!("no backup was made: {error}"))?;
    let summary = format!("Wrote {counts} of {place}, {bytes} bytes, to {}.\n", file.display());
    match (is_dash(&file), json) {
        // The standard output is the backup.
        (true, _) => eprint!("{summary}"),
        (false, true) => output::print_json(&Report { file, created, bytes, counts })?,
        (false, false) => output::print(&summary)?,
    }
    Ok(())
}

/// Under another name beside it until it is whole and on disk.
fn write_file(
    file: &Path,
    force: bool,
    header: Header,
    sources: &Sources,
    stop: Stop,
    progress: Progress,
) -> Result<(Counts, u64), String> {
    let failed = |error: io::Error| format!("cannot write {}: {error}", file.display());
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Its mode is 0600.
    let unfinished = tempfile::Builder::new().prefix(".syncserver-backup-").tempfile_in(folder).map_err(failed)?;
    let (counts, bytes, unfinished): (_, _, NamedTempFile) = write(unfinished, header, sources, stop, progress)?;
    unfinished.as_file().sync_all().map_err(failed)?;
    let finished = if force { unfinished.persist(file) } else { unfinished.persist_noclobber(file) };
    finished.map_err(|error| failed(error.error))?;
    // The name, too, has to be on disk. Where folders cannot be opened, they need not be.
    if let Ok(folder) = std::fs::File::open(folder) {
        folder.sync_all().map_err(failed)?;
    }
    Ok((counts, bytes))
}

fn write<W: Write + Send>(
    to: W,
    header: Header,
    sources: &Sources,
    stop: Stop,
    progress: Progress,
) -> Result<(Counts, u64, W), String> {
    let writer = Writer::new(to, header).map_err(|error| error.to_string())?;
    let mut shown = Shown { writer, stop, progress, items: 0 };
    sources.dump_here(Clock::system().now_ms(), &mut shown)?;
    let counts = shown.writer.counts();
    let (to, bytes) = shown.writer.finish().map_err(|error| error.to_string())?;
    Ok((counts, bytes, to))
}

/// Writes, shows how far it is, and stops when it is told to.
struct Shown<W: Write> {
    writer: Writer<W>,
    stop: Stop,
    progress: Progress,
    items: u64,
}

impl<W: Write + Send> Sink<Item> for Shown<W> {
    fn push(&mut self, item: Item) -> io::Result<()> {
        self.stop.check()?;
        self.items += 1;
        if self.items.is_multiple_of(STEP) {
            self.progress.show(&self.writer.counts());
        }
        self.writer.push(item)
    }
}
