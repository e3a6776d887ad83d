//! What the commands have in common that copy whole databases.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::confirm::confirm;
use super::output::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use syncstorage_db_common::Sink;
use tokenserver_db_common::same_url;

use crate::archive::adapt::{Renaming, check_renames};
use crate::archive::copy::{GAP, Incoming, Stop};
use crate::archive::{Counts, Item};
use crate::backend::{self, BackendError, Whole};
use crate::causes::chain;
use crate::settings::Settings;
use crate::signals::StopSignals;

/// What is known of a source before it is read.
pub(super) struct Origin {
    /// Its databases, if it is no file of ours.
    pub(super) urls: Vec<String>,
    /// The URLs of its nodes.
    pub(super) nodes: Vec<String>,
    /// Whether it tells of accounts; those of the target are kept otherwise.
    pub(super) accounts: bool,
}

/// What the commands have in common that fill databases.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Filling {
    /// Clear the databases first, where there is something in them.
    #[arg(long)]
    force: bool,
    /// Do not ask before that.
    #[arg(long, short, requires = "force")]
    yes: bool,
    /// Write another URL for a node: the server had the URL OLD there, and has NEW here. May be given several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = node_url)]
    node_url: Vec<(String, String)>,
}

fn node_url(text: &str) -> Result<(String, String), String> {
    let (old, new) = text.split_once('=').ok_or("expected two URLs with = between them")?;
    for url in [old, new] {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("{url:?} does not begin with http:// or https://"));
        }
    }
    Ok((old.trim_end_matches('/').to_owned(), new.trim_end_matches('/').to_owned()))
}

/// Hands over what the databases are to be filled with.
pub(super) type Produce = Box<dyn FnOnce(&mut dyn Sink<Item>) -> Result<(), String> + Send>;

impl Filling {
    /// Fills the databases of the settings with what `produce` hands over; `what` is a noun, such as "restore". How much
    /// it was, and where it is now.
    pub(super) async fn fill(
        self,
        settings: &Settings,
        what: &'static str,
        origin: Origin,
        produce: Produce,
    ) -> Result<(Counts, String), String> {
        self.try_to_fill(settings, what, origin, produce).await.map_err(|error| with_room(settings, error))
    }

    async fn try_to_fill(
        self,
        settings: &Settings,
        what: &'static str,
        origin: Origin,
        produce: Produce,
    ) -> Result<(Counts, String), String> {
        let failed = |error: BackendError| error.to_string();
        check_renames(&origin.nodes, &self.node_url).map_err(|error| format!("{error}. Nothing was done"))?;
        let whole = Whole::open(settings).await.map_err(failed)?;
        whole.refuse_sources(&origin.urls).await.map_err(failed)?;
        let before = whole.unfinished().await.map_err(failed)?;
        let was_empty = self.may_fill(&whole, before.as_deref()).await?;
        let stop = stop_at_signal()?;
        // From here on no server starts. One that did while the question was waiting for its answer is found now.
        whole.begin(what).await.map_err(failed)?;
        drop(whole);
        let began = async {
            let whole = Whole::open(settings).await.map_err(failed)?;
            let renames = self.node_url;
            let produce = move |to: &mut dyn Sink<Item>| produce(&mut Renaming { to, urls: &renames });
            let incoming = Incoming::begin(produce, &stop).await?;
            let storage_is_empty = whole.targets.storage.is_empty().await.map_err(|error| chain(&error))?;
            let is_empty = storage_is_empty && whole.targets.tokens.is_empty().await.map_err(|error| chain(&error))?;
            if was_empty && !is_empty {
                return Err(format!("{} was empty, and is not any more. Stop the server", whole.describe()));
            }
            if incoming.is_empty() && !is_empty {
                return Err(format!("there is nothing to {what}, and {} is not empty", whole.describe()));
            }
            Ok((whole, incoming, storage_is_empty))
        };
        let (whole, incoming, storage_is_empty) = match began.await {
            Ok(began) => began,
            Err(error) => {
                return Err(match Whole::take_back(settings, before).await {
                    Ok(()) => format!("{error}. Nothing was done"),
                    Err(second) => format!(
                        "{error}. Nothing was removed, but no server will start before this has been run again: the note \
                         that a {what} has begun could not be taken back ({second})"
                    ),
                });
            }
        };
        let progress = Progress::of_unknown_length();
        let filled = async {
            if !storage_is_empty {
                whole.targets.storage.clear().await.map_err(|error| chain(&error))?;
            }
            whole.targets.tokens.clear(origin.accounts).await.map_err(|error| chain(&error))?;
            whole.targets.take(incoming, GAP, |counts| progress.show(&counts)).await
        };
        let filled = filled.await;
        progress.clear();
        let counts = filled.map_err(|error| {
            format!(
                "{error}. The {what} did not finish: {} holds a part only, and no server serves it. Run this again with \
                 --force",
                whole.describe()
            )
        })?;
        whole.end().await.map_err(failed)?;
        say_of_nodes(settings, &whole).await?;
        Ok((counts, whole.describe()))
    }

    /// Whether they are empty; otherwise asks.
    async fn may_fill(&self, whole: &Whole, unfinished: Option<&str>) -> Result<bool, String> {
        let place = whole.describe();
        let is_empty = whole.targets.are_empty().await.map_err(|error| chain(&error))?;
        match unfinished {
            None if is_empty => return Ok(true),
            None if !self.force => {
                return Err(format!("{place} is not empty. With --force all that is in it is removed first"));
            }
            Some(last) if !self.force => {
                return Err(format!(
                    "the last {last} into {place} did not finish, so that only a part is there. With --force that is \
                     removed first"
                ));
            }
            _ => {}
        }
        confirm(&format!("All that is in {place} is removed first."), "yes", self.yes)?;
        Ok(false)
    }
}

/// Says what else there is to do where SQLite's disk is full. To try again does not help: what was written so far fills
/// it, and clearing that is written to the log first, too.
fn with_room(settings: &Settings, error: String) -> String {
    if !error.contains("database or disk is full") {
        return error;
    }
    let files = backend::files(settings).unwrap_or_default().into_iter().filter(|file| file.exists());
    let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
    format!(
        "{error}. There has to be more room on its disk first; where nothing in the database has to be kept, removing these \
         makes some: {}",
        files.join(", ")
    )
}

/// A database that has moved may still send its users to the old place.
async fn say_of_nodes(settings: &Settings, whole: &Whole) -> Result<(), String> {
    let nodes = whole.tokens.nodes().await.map_err(|error| chain(&error))?;
    let public_url = settings.public_url.to_string();
    if nodes.is_empty() || nodes.iter().any(|node| same_url(&node.url, &public_url)) {
        return Ok(());
    }
    let urls: Vec<&str> = nodes.iter().map(|node| node.url.as_str()).collect();
    tell(format_args!(
        "Mind the nodes: clients are sent to {}, and this server is {public_url}. If it takes the place of one of \
         them, change that row (`syncserver node`), or do this again with --force --node-url {}={public_url}",
        urls.join(", "),
        urls[0],
    ));
    Ok(())
}

/// What SIGTERM and Ctrl-C stop. A second one ends the process at once.
pub(super) fn stop_at_signal() -> Result<Stop, String> {
    let signals = StopSignals::listen().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let stop = Stop::default();
    let told = stop.clone();
    actix_web::rt::spawn(async move {
        signals.received().await;
        told.stop();
    });
    Ok(stop)
}

/// Runs what takes long and does not wait, on a thread where it holds nothing up.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// How far it is, on the standard error stream, if that is a terminal. Clones are the same one.
#[derive(Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of something of which nobody knows how much there is.
    pub(super) fn of_unknown_length() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(styled(bar, "{spinner} {elapsed} {msg}"))
    }

    /// Of a file of so many bytes.
    pub(super) fn of_bytes(bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr_with_hz(5));
        Self(styled(bar, "{percent:>3}% {wide_bar} {bytes_per_sec}, {eta} left"))
    }

    /// So many were done.
    pub(super) fn show(&self, counts: &Counts) {
        self.0.set_message(counts.to_string());
    }

    /// So many bytes were read.
    pub(super) fn set_bytes(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// Takes it off the screen.
    pub(super) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Whether a file name stands for the standard output or input.
pub(super) fn is_dash(file: &Path) -> bool {
    file == Path::new("-")
}

/// A backup that may be read twice: what comes by the standard input, or by another pipe, is kept in a file without a
/// name meanwhile.
pub(super) fn open_twice(file: &Path) -> Result<Arc<File>, String> {
    let from = if is_dash(file) {
        standard_input()?
    } else {
        let opened = File::open(file).map_err(|error| cannot_read(file, &error))?;
        // A folder says so when it is read.
        if opened.metadata().is_ok_and(|found| found.is_file() || found.is_dir()) {
            return Ok(Arc::new(opened));
        }
        Box::new(opened)
    };
    keep(from).map(Arc::new).map_err(|error| {
        let folder = std::env::temp_dir();
        format!("cannot keep a copy of {} in {} (TMPDIR) while it is read: {error}", file.display(), folder.display())
    })
}

fn keep(mut from: impl Read) -> io::Result<File> {
    let mut kept = tempfile::tempfile()?;
    io::copy(&mut from, &mut kept)?;
    Ok(kept)
}

/// From the beginning.
pub(super) fn rewound(mut file: &File) -> Result<&File, String> {
    file.rewind().map_err(|error| format!("cannot read the backup from its beginning: {error}"))?;
    Ok(file)
}

pub(super) fn cannot_read(file: &Path, error: &io::Error) -> String {
    format!("cannot read {}: {error}", file.display())
}

/// The standard input, if it is no terminal.
pub(super) fn standard_input() -> Result<Box<dyn Read + Send>, String> {
    if io::stdin().is_terminal() {
        return Err("the backup is to come by the standard input, which is a terminal".into());
    }
    Ok(Box::new(io::stdin()))
}
