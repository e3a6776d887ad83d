//! `syncserver verify`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use syncstorage_db_common::{Clock, Sink, StoredBso, StoredItem};
use tokenserver_db_common::TokenItem;

use super::copying::{Progress, aside, cannot_read, is_dash, standard_input};
use super::output;
use crate::archive::copy::Sources;
use crate::archive::format::Header;
use crate::archive::read::{BackupError, Reader};
use crate::archive::{Counts, Item};
use crate::backend::Whole;
use crate::settings::Settings;

/// What to check.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The backup; - for the standard input.
    file: PathBuf,
    /// Compare it with what the databases of the settings hold now, too. What has expired does not count.
    #[arg(long)]
    against_database: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The result, for --json.
#[derive(Serialize)]
struct Report {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<Header>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
}

/// The settings are only asked for when the databases are.
pub(super) async fn run(
    settings: impl FnOnce() -> Result<Settings, String>,
    Arguments { file, against_database, json }: Arguments,
) -> Result<(), String> {
    let name = file.display().to_string();
    let checked = async {
        let database = match against_database {
            true => Some(Whole::attach(&settings()?).await.map_err(|error| error.to_string())?.targets.sources()),
            false => None,
        };
        aside(move || check(&file, database.as_ref()).map_err(|error| format!("{}: {error}", file.display()))).await
    };
    let same = if against_database { ", and the database holds the same" } else { "" };
    match checked.await {
        Ok((header, counts)) if json => {
            output::print_json(&Report { ok: true, error: None, backup: Some(header), counts: Some(counts) })
        }
        Ok((header, counts)) => output::print(&format!(
            "{name} is a good backup of {}: {counts}{same}. Made by syncserver {} on {}.\n",
            header.created, header.server, header.storage,
        )),
        Err(error) => {
            if json {
                output::print_json(&Report { ok: false, error: Some(error.clone()), backup: None, counts: None })?;
            }
            Err(error)
        }
    }
}

fn check(file: &Path, database: Option<&Sources>) -> Result<(Header, Counts), String> {
    let told = |error: BackupError| error.to_string();
    let (from, bytes): (Box<dyn Read + Send>, u64) = if is_dash(file) {
        (standard_input()?, 0)
    } else {
        let opened = File::open(file).map_err(|error| cannot_read(file, &error))?;
        let bytes = opened.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(opened), bytes)
    };
    let mut reader = Reader::new(from).map_err(told)?;
    let header = reader.header().clone();
    let progress = Progress::of_bytes(bytes);
    let counts = match database {
        Some(database) => compare(&mut reader, database),
        None => reader.verify(|reader| progress.set_bytes(reader.position())).map_err(told),
    };
    progress.clear();
    Ok((header, counts?))
}

/// Both have their items in one order, so that each is read once.
fn compare(reader: &mut Reader<Box<dyn Read + Send>>, database: &Sources) -> Result<Counts, String> {
    let now_ms = Clock::system().now_ms();
    let mut comparing = Comparing { reader, now_ms, difference: None };
    let dumped = database.dump_here(now_ms, &mut comparing);
    if let Some(difference) = comparing.difference.take() {
        return Err(difference);
    }
    dumped?;
    match comparing.next()? {
        None => Ok(reader.counts()),
        Some(item) => Err(format!("the backup holds {}, which the database does not have", item.describe())),
    }
}

struct Comparing<'a> {
    reader: &'a mut Reader<Box<dyn Read + Send>>,
    now_ms: i64,
    difference: Option<String>,
}

impl Comparing<'_> {
    /// The next item of the file that has not expired meanwhile.
    fn next(&mut self) -> Result<Option<Item>, String> {
        loop {
            let item = self.reader.next_item().map_err(|error| error.to_string())?;
            match &item {
                Some(Item::Storage(StoredItem::Bso(StoredBso { expiry: Some(expiry), .. })))
                    if *expiry <= self.now_ms => {}
                _ => return Ok(item),
            }
        }
    }
}

impl Sink<Item> for Comparing<'_> {
    fn push(&mut self, item: Item) -> io::Result<()> {
        let difference = match self.next() {
            Ok(Some(kept)) if kept == item || is_later(&kept, &item) => return Ok(()),
            Ok(Some(kept)) => format!(
                "the database does not hold what the backup does: the backup goes on with {}, the database with {}",
                kept.describe(),
                item.describe()
            ),
            Ok(None) => format!("the database holds {}, which is not in the backup", item.describe()),
            Err(error) => error,
        };
        self.difference = Some(difference);
        Err(io::Error::other("they differ"))
    }
}

/// A restore raises the number of users, and a server gives more.
fn is_later(kept: &Item, item: &Item) -> bool {
    match (kept, item) {
        (Item::Token(TokenItem::Numbers(kept)), Item::Token(TokenItem::Numbers(item))) => {
            kept.uid <= item.uid && kept.node <= item.node
        }
        _ => false,
    }
}
