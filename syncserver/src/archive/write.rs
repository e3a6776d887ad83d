//! Making a backup.

use std::io::{self, Write};

use ring::digest::{Context, SHA256};
use syncstorage_db_common::Sink;

use super::format::{End, Header, HeaderLine, Line, Place};
use super::read::LONGEST_LINE;
use super::seal::Sealing;
use super::{Counts, Item};
use crate::hex::hex;

/// Of zstd: a little better than its usual 3 is not worth the time, for payloads that are encrypted.
const LEVEL: i32 = 3;

/// Writes a backup, item by item.
pub struct Writer<W: Write> {
    encoder: zstd::Encoder<'static, Sealing<W>>,
    digest: Context,
    counts: Counts,
    /// As a reader will go by the lines.
    place: Place,
    /// The line that is being written.
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the beginning.
    pub fn new(to: W, header: Header) -> io::Result<Self> {
        let mut encoder = zstd::Encoder::new(Sealing::new(to), LEVEL)?;
        encoder.include_checksum(true)?;
        let mut writer = Self {
            encoder,
            digest: Context::new(&SHA256),
            counts: Counts::default(),
            place: Place::default(),
            line: Vec::new(),
        };
        serde_json::to_writer(&mut writer.line, &HeaderLine { syncserver_backup: header })?;
        writer.write_line()?;
        Ok(writer)
    }

    fn write_line(&mut self) -> io::Result<()> {
        self.line.push(b'\n');
        self.digest.update(&self.line);
        self.encoder.write_all(&self.line)?;
        self.line.clear();
        Ok(())
    }

    /// What was written so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes the end and the seal; what was written to, and the number of bytes.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        let sha256 = hex(self.digest.clone().finish().as_ref());
        serde_json::to_writer(&mut self.line, &Line::End(End { counts: self.counts, sha256 }))?;
        self.write_line()?;
        self.encoder.finish()?.finish()
    }
}

impl<W: Write + Send> Sink<Item> for Writer<W> {
    /// Refuses what a [`Reader`](super::read::Reader) would: rather no backup today than one that cannot be restored.
    fn push(&mut self, item: Item) -> io::Result<()> {
        serde_json::to_writer(&mut self.line, &Line::of(&item))?;
        let parsed = if self.line.len() as u64 >= LONGEST_LINE {
            Err("is longer than a line of a backup may be".to_owned())
        } else {
            self.place.parse(&self.line).map(drop)
        };
        parsed.map_err(|reason| {
            io::Error::other(format!("{} {reason}. No restore would take that; correct or remove it", item.describe()))
        })?;
        self.counts.add(&item);
        self.write_line()
    }
}
