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
use crate::backend::{self, Whole};
use crate::files;
use crate::logging::rfc3339;
use crate::settings::{Settings, secret_file};

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
    /// Print what was written as JSON; to the standard error stream where the standard output is the backup.
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
    let to = if is_dash(&file) { None } else { Some(target(settings, &file, force)?) };
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
    let (shown, is_piped) = (progress.clone(), to.is_none());
    let written = aside(move || match to {
        None => write(io::stdout(), header, &sources, stop, shown).map(|(counts, bytes, _)| (counts, bytes)),
        Some(to) => write_file(&to, force, header, &sources, stop, shown),
    })
    .await;
    progress.clear();
    let (counts, bytes) = written.map_err(|error| format!("no backup was made: {error}"))?;
    let summary = match json {
        true => output::json(&Report { file, created, bytes, counts })?,
        false => format!("Wrote {counts} of {place}, {bytes} bytes, to {}.", file.display()),
    };
    if is_piped {
        // The standard output is the backup.
        output::tell(summary);
        return Ok(());
    }
    output::print(&(summary + "\n"))
}

/// The file that is to be made or, by force, replaced: the one that a symbolic link leads to, as all that writes has it.
/// A backup gets its name by renaming, which would take away whatever had it, so that only a regular file may be there,
/// and none that the server needs.
fn target(settings: &Settings, file: &Path, force: bool) -> Result<PathBuf, String> {
    let shown = file.display();
    match file.metadata() {
        Ok(found) if found.is_dir() => {
            return Err(format!("{shown} is a folder; expected the name of a file to make"));
        }
        Ok(found) if !found.is_file() => {
            return Err(format!(
                "{shown} is no regular file, and a backup would take its place. Expected the name of a file to make; for a \
                 device or a pipe let the shell open it: syncserver backup - > {shown}"
            ));
        }
        _ => {}
    }
    let to = match file.is_symlink() {
        true => file.canonicalize().map_err(|error| {
            format!("{shown} is a symbolic link, and what it leads to cannot be found: {error}. Name the file itself")
        })?,
        false => file.to_owned(),
    };
    if needed(settings)?.iter().any(|needed| files::are_one(needed, &to)) {
        return Err(format!(
            "{shown} is a file that the server needs (its database or what belongs to it, a secret, a certificate or its \
             settings), and a backup would take its place. Name another file"
        ));
    }
    if !force && to.exists() {
        return Err(format!("{shown} is there already; --force overwrites it"));
    }
    Ok(to)
}

/// Every file that the settings name, be it there or not.
fn needed(settings: &Settings) -> Result<Vec<PathBuf>, String> {
    let mut files = backend::files(settings).map_err(|error| error.to_string())?;
    files.extend(backend::root_certificates(settings).map_err(|error| error.to_string())?);
    files.push(secret_file::master_secret_file(&settings.data_dir));
    files.extend_from_slice(&settings.files);
    files.extend(settings.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]));
    Ok(files)
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
