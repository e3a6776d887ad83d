//! Taking a backup apart, and finding what is wrong with one.

use std::io::{self, BufRead, BufReader, Read};

use ring::digest::{Context, SHA256};

use super::format::{Header, HeaderLine, Parsed, Place, VERSION, VersionOnly};
use super::seal::{LENGTH, Unsealing};
use super::{Counts, Item};
use crate::hex::hex;

/// The longest line that there can be: a payload of the largest kind of which every byte is escaped, with room to spare.
/// A file that has longer ones was made to fill up the memory.
pub(super) const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What is wrong with a backup; a sentence, with the place as far as there is one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Another kind of file.
    #[error("this is not a backup of syncserver{0}")]
    NotABackup(String),
    /// Made by another version.
    #[error(
        "this backup has version {found} of the format, and this program reads version {VERSION}. Use the version of \
         syncserver that made it, or a later one"
    )]
    Version {
        /// As its first line says.
        found: u32,
    },
    /// Something is missing at the end. Nobody can say in which line: zstd hands over whole blocks of them.
    #[error("the backup is cut off: its end is missing after {bytes} bytes of the file")]
    CutOff {
        /// Of the file.
        bytes: u64,
    },
    /// The compressed data does not make sense.
    #[error("the backup is damaged in line {line}, about {bytes} bytes into the file: {reason}")]
    Damaged {
        /// Counted from 1.
        line: u64,
        /// Of the file.
        bytes: u64,
        /// In zstd's words.
        reason: String,
    },
    /// A line that the format does not have.
    #[error("line {line} of the backup {reason}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// The rest of the sentence.
        reason: String,
    },
    /// The lines are not those that were written.
    #[error("the lines of the backup do not have the checksum in its last line: something has been changed")]
    Checksum,
    /// The last line is about another number of lines.
    #[error("the backup holds {found}; its last line says {said}")]
    Counts {
        /// What there is.
        found: Counts,
        /// What there should be.
        said: Counts,
    },
    /// The file is not the one that was written, though it reads well.
    #[error(
        "the backup does not have the checksum at its end: all its lines are as they were written, but something in the \
         file has been changed, added or cut off after it was made"
    )]
    Seal,
    /// The file cannot be read.
    #[error("cannot read the backup: {0}")]
    Io(#[source] io::Error),
}

type Lines<R> = BufReader<zstd::Decoder<'static, BufReader<Unsealing<R>>>>;

/// Reads a backup, item by item, and checks it on the way. Only after the last one is it known to be good.
pub struct Reader<R: Read> {
    lines: Lines<R>,
    header: Header,
    digest: Context,
    counts: Counts,
    place: Place,
    /// Of the line that is read, counted from 1.
    number: u64,
    line: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning.
    pub fn new(from: R) -> Result<Self, BackupError> {
        let decoder = zstd::Decoder::new(Unsealing::new(from)).map_err(BackupError::Io)?;
        let header = Header {
            version: 0,
            created: String::new(),
            server: String::new(),
            storage: String::new(),
            tokenserver: String::new(),
        };
        let mut reader = Self {
            lines: BufReader::with_capacity(128 * 1024, decoder),
            header,
            digest: Context::new(&SHA256),
            counts: Counts::default(),
            place: Place::default(),
            number: 0,
            line: Vec::new(),
        };
        let began = reader.next_line();
        match began {
            Ok(()) => {}
            // It does not even begin as zstd's files do.
            Err(BackupError::Damaged { reason, .. }) if reason.contains("Unknown frame descriptor") => {
                return Err(BackupError::NotABackup(String::new()));
            }
            Err(BackupError::CutOff { bytes }) if bytes <= LENGTH as u64 => {
                return Err(BackupError::NotABackup(format!(": it has {bytes} bytes")));
            }
            Err(other) => return Err(other),
        }
        reader.header = header_of(&reader.line)?;
        Ok(reader)
    }

    /// The first line.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What was read so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How many bytes of the file were read so far.
    pub fn position(&self) -> u64 {
        self.lines.get_ref().get_ref().get_ref().position()
    }

    /// The next item; `None` after the last one, when all of the file has been found to be as it was written.
    pub fn next_item(&mut self) -> Result<Option<Item>, BackupError> {
        let before = self.digest.clone();
        self.next_line()?;
        let parsed = self.place.parse(&self.line);
        match parsed.map_err(|reason| BackupError::Line { line: self.number, reason })? {
            Parsed::Item(item) => {
                self.counts.add(&item);
                Ok(Some(item))
            }
            Parsed::End(end) => {
                if hex(before.finish().as_ref()) != end.sha256 {
                    return Err(BackupError::Checksum);
                }
                if end.counts != self.counts {
                    return Err(BackupError::Counts { found: self.counts, said: end.counts });
                }
                self.finish().map(|()| None)
            }
        }
    }

    /// Reads on to the last item, and past all of them; what there was.
    pub fn verify(mut self, mut step: impl FnMut(&Self)) -> Result<Counts, BackupError> {
        while self.next_item()?.is_some() {
            step(&self);
        }
        Ok(self.counts)
    }

    /// Nothing may come after the last line but the seal.
    fn finish(&mut self) -> Result<(), BackupError> {
        let mut more = [0];
        let count = self.lines.read(&mut more).map_err(|error| match self.failed(error) {
            BackupError::Io(error) => BackupError::Io(error),
            // No line is concerned: all of them have been read.
            _ => BackupError::Seal,
        })?;
        if count > 0 {
            return Err(BackupError::Line { line: self.number + 1, reason: "stands after the last line".into() });
        }
        let whole = self.lines.get_mut().get_mut().get_mut().is_whole().map_err(BackupError::Io)?;
        if whole { Ok(()) } else { Err(BackupError::Seal) }
    }

    fn next_line(&mut self) -> Result<(), BackupError> {
        self.line.clear();
        self.number += 1;
        let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut self.line);
        read.map_err(|error| self.failed(error))?;
        if self.line.last() == Some(&b'\n') {
            self.digest.update(&self.line);
            return Ok(());
        }
        if self.line.len() as u64 >= LONGEST_LINE {
            let reason = format!("is longer than the {LONGEST_LINE} bytes that a line may have");
            return Err(BackupError::Line { line: self.number, reason });
        }
        Err(BackupError::CutOff { bytes: self.position() })
    }

    fn failed(&self, error: io::Error) -> BackupError {
        let (line, bytes) = (self.number, self.position());
        match error.kind() {
            io::ErrorKind::UnexpectedEof => BackupError::CutOff { bytes },
            // So zstd's own errors are told.
            io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                BackupError::Damaged { line, bytes, reason: error.to_string() }
            }
            _ => BackupError::Io(error),
        }
    }
}

fn header_of(line: &[u8]) -> Result<Header, BackupError> {
    let not = |_| BackupError::NotABackup(": its first line is another one".into());
    let HeaderLine { syncserver_backup: VersionOnly { version } } = serde_json::from_slice(line).map_err(not)?;
    if version != VERSION {
        return Err(BackupError::Version { found: version });
    }
    Ok(serde_json::from_slice::<HeaderLine<Header>>(line).map_err(not)?.syncserver_backup)
}
