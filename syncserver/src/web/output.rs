//! Answers that hold records, written straight into bytes, in memory while they are few and in a file beyond that.
//!
//! A whole collection can be larger than the memory there is, and a client can be slow to take it. So the database is
//! read as fast as it goes, into a temporary file that has no name, and the client is served from that: neither the
//! memory nor a connection to the database waits for it. Such files are few at a time, so that the disk bears them.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody, SizedStream};
use actix_web::web::Bytes;
use futures_util::StreamExt;
use syncstorage_db_common::{Bso, BsoId, Sink};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::io::ReaderStream;

/// An answer up to this size, in bytes, stays in memory.
const MEMORY_BYTES: usize = 1 << 20;

/// How many answers are in files at once, from their first record to the last byte that the client takes.
const MAX_FILES: usize = 100;

/// The places for answers in files, of the whole process: it has one disk.
static PLACES: Semaphore = Semaphore::const_new(MAX_FILES);

/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// How the items of a list are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// `application/json`: one list.
    Json,
    /// `application/newlines`: an item a line.
    Newlines,
}

impl ListFormat {
    /// The content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Newlines => "application/newlines",
        }
    }
}

/// A list in the making.
pub struct ListWriter {
    format: ListFormat,
    count: u64,
    memory: Vec<u8>,
    places: &'static Semaphore,
    place: Option<SemaphorePermit<'static>>,
    /// Where files are made; `None`: where the system has its temporary ones.
    folder: Option<PathBuf>,
    overflow: Overflow,
    lacks_place: bool,
}

/// What becomes of what is too much for the memory.
enum Overflow {
    /// There has been none; it goes to a file.
    None,
    /// It is in this file.
    File(File),
    /// It is dropped, after so many bytes of it: nobody will see it.
    Dropped(u64),
}

impl ListWriter {
    /// An empty list.
    #[must_use]
    pub fn new(format: ListFormat) -> Self {
        let mut list = Self {
            format,
            count: 0,
            memory: Vec::new(),
            places: &PLACES,
            place: None,
            folder: None,
            overflow: Overflow::None,
            lacks_place: false,
        };
        list.clear();
        list
    }

    /// The same with its file, if it needs one, in this folder. `None`: in the system's own one for such files, which may
    /// be in memory.
    #[must_use]
    pub fn in_folder(mut self, folder: Option<&Path>) -> Self {
        self.folder = folder.map(ToOwned::to_owned);
        self
    }

    /// The same for an answer to HEAD, of which only the size will be sent: it never needs a file.
    #[must_use]
    pub fn without_body(mut self) -> Self {
        self.overflow = Overflow::Dropped(0);
        self
    }

    fn clear(&mut self) {
        self.count = 0;
        self.memory.clear();
        if self.format == ListFormat::Json {
            self.memory.push(b'[');
        }
    }

    /// Whether an item was refused because the list is too large for the memory, and there are as many in files as may
    /// be. Few answers are that large, and it is known of none before it is read: so a list is begun without a place.
    #[must_use]
    pub fn lacks_place(&self) -> bool {
        self.lacks_place
    }

    /// Waits until another answer is done with its file, and begins the list anew.
    pub async fn wait_for_place(&mut self) {
        // Many may wait, and for long.
        self.memory = Vec::new();
        self.clear();
        self.lacks_place = false;
        // The semaphore is never closed.
        self.place = self.places.acquire().await.ok();
    }

    /// The items so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    fn item(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if self.format == ListFormat::Json && self.count > 0 {
            self.memory.push(b',');
        }
        self.count += 1;
        write(&mut self.memory);
        if self.format == ListFormat::Newlines {
            self.memory.push(b'\n');
        }
        if self.memory.len() > MEMORY_BYTES { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        match &mut self.overflow {
            Overflow::None => {
                let mut file = self.make_file()?;
                file.write_all(&self.memory)?;
                self.overflow = Overflow::File(file);
            }
            Overflow::File(file) => file.write_all(&self.memory)?,
            Overflow::Dropped(bytes) => *bytes += self.memory.len() as u64,
        }
        self.memory.clear();
        Ok(())
    }

    fn make_file(&mut self) -> io::Result<File> {
        if self.place.is_none() {
            self.place = self.places.try_acquire().ok();
        }
        if self.place.is_none() {
            self.lacks_place = true;
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "too many large answers are under way"));
        }
        self.folder.as_deref().map_or_else(tempfile::tempfile, tempfile::tempfile_in)
    }

    /// The whole list, as the body of an answer.
    pub fn into_body(mut self) -> io::Result<BoxBody> {
        if self.format == ListFormat::Json {
            self.memory.push(b']');
        }
        if !matches!(self.overflow, Overflow::None) {
            self.spill()?;
        }
        match self.overflow {
            Overflow::None => Ok(self.memory.boxed()),
            Overflow::Dropped(bytes) => Ok(Measured(bytes).boxed()),
            Overflow::File(mut file) => {
                let size = file.stream_position()?;
                file.seek(SeekFrom::Start(0))?;
                let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ_BYTES);
                let place = self.place;
                let chunks = chunks.map(move |chunk| {
                    // Held until the client has taken all, or gone away.
                    let _ = &place;
                    chunk.map_err(actix_web::Error::from)
                });
                Ok(SizedStream::new(size, chunks).boxed())
            }
        }
    }
}

/// A body of which nothing but the size is sent, as in an answer to HEAD.
struct Measured(u64);

impl MessageBody for Measured {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Poll::Ready(None)
    }
}

impl Sink<Bso> for ListWriter {
    fn push(&mut self, bso: Bso) -> io::Result<()> {
        self.item(|out| write_bso(out, &bso))
    }
}

impl Sink<BsoId> for ListWriter {
    fn push(&mut self, id: BsoId) -> io::Result<()> {
        self.item(|out| write_string(out, id.as_str()))
    }
}

/// A record as JSON.
pub fn write_bso(out: &mut Vec<u8>, bso: &Bso) {
    out.reserve(bso.payload.len() + bso.id.as_str().len() + 80);
    out.extend_from_slice(b"{\"id\":");
    write_string(out, bso.id.as_str());
    write_display(out, format_args!(",\"modified\":{},\"payload\":", bso.modified));
    write_string(out, &bso.payload);
    if let Some(sortindex) = bso.sortindex {
        write_display(out, format_args!(",\"sortindex\":{sortindex}"));
    }
    out.push(b'}');
}

/// A JSON object of names and values that are JSON already when displayed.
pub fn write_object<N: AsRef<str>, V: std::fmt::Display>(members: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (name, value) in members {
        if out.len() > 1 {
            out.push(b',');
        }
        write_string(&mut out, name.as_ref());
        write_display(&mut out, format_args!(":{value}"));
    }
    out.push(b'}');
    out
}

/// A JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // A Vec takes anything, and a string is always JSON.
    let _ = serde_json::to_writer(out, text);
}

/// Anything that displays as JSON.
pub fn write_display(out: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    // A Vec takes anything.
    let _ = out.write_fmt(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;
    use syncstorage_db_common::SyncTimestamp;

    fn bso(id: &str, sortindex: Option<i32>, payload: &str) -> Bso {
        let modified = SyncTimestamp::from_ms(1_388_635_807_410);
        Bso { id: BsoId::new(id).unwrap(), modified, sortindex, payload: payload.into() }
    }

    async fn written(format: ListFormat, bsos: &[Bso]) -> (u64, String) {
        let mut list = ListWriter::new(format);
        for bso in bsos {
            list.push(bso.clone()).unwrap();
        }
        let count = list.count();
        let bytes = to_bytes(list.into_body().unwrap()).await.unwrap();
        (count, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[actix_web::test]
    async fn records_are_written_as_json_or_lines() {
        let bsos = [bso("a\"b", None, "line\nline"), bso("c", Some(-1), "é\u{1f98a}")];
        let first = r#"{"id":"a\"b","modified":1388635807.41,"payload":"line\nline"}"#;
        let second = "{\"id\":\"c\",\"modified\":1388635807.41,\"payload\":\"é\u{1f98a}\",\"sortindex\":-1}";
        assert_eq!(written(ListFormat::Json, &bsos).await, (2, format!("[{first},{second}]")));
        assert_eq!(written(ListFormat::Newlines, &bsos).await, (2, format!("{first}\n{second}\n")));
        assert_eq!(written(ListFormat::Json, &[]).await, (0, "[]".into()));
        assert_eq!(written(ListFormat::Newlines, &[]).await, (0, String::new()));
    }

    #[actix_web::test]
    async fn a_list_too_large_for_memory_comes_whole_and_with_its_size() {
        let payload = "x".repeat(100_000);
        let mut list = ListWriter::new(ListFormat::Json);
        for index in 0..40 {
            list.push(bso(&format!("{index}"), None, &payload)).unwrap();
            assert!(list.memory.len() < 2 * MEMORY_BYTES);
        }
        assert!(matches!(list.overflow, Overflow::File(_)));
        let body = list.into_body().unwrap();
        let size = body.size();
        let bytes = to_bytes(body).await.unwrap();
        assert_eq!(size, actix_web::body::BodySize::Sized(bytes.len() as u64));
        let parsed: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(parsed.len(), 40);
        assert!(
            parsed.iter().enumerate().all(|(index, bso)| bso["id"] == *index.to_string() && bso["payload"] == payload)
        );
    }

    /// Forty records that are too many for the memory.
    fn push_many(list: &mut ListWriter) -> io::Result<()> {
        let payload = "x".repeat(100_000);
        (0..40).try_for_each(|index| list.push(bso(&format!("{index}"), None, &payload)))
    }

    #[actix_web::test]
    async fn a_list_waits_for_a_place_and_is_whole_then() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let large = || ListWriter { places: &ONE, ..ListWriter::new(ListFormat::Json) };
        let mut first = large();
        push_many(&mut first).unwrap();
        let mut second = large();
        assert_eq!(push_many(&mut second).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(second.lacks_place() && !first.lacks_place());
        let body = first.into_body().unwrap();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), second.wait_for_place()).await;
        assert!(waiting.is_err(), "the first is still being sent");
        // A small one needs no place.
        let mut small = large();
        small.push(bso("a", None, "b")).unwrap();
        small.into_body().unwrap();
        drop(body);
        second.wait_for_place().await;
        assert!(!second.lacks_place());
        push_many(&mut second).unwrap();
        assert_eq!(second.count(), 40);
        let bytes = to_bytes(second.into_body().unwrap()).await.unwrap();
        assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&bytes).unwrap().len(), 40);
        assert_eq!(ONE.available_permits(), 1);
    }

    #[actix_web::test]
    async fn an_answer_without_body_is_measured_and_needs_no_file() {
        static NONE: Semaphore = Semaphore::const_new(0);
        for push in [|_: &mut ListWriter| Ok(()), push_many] {
            let mut get = ListWriter::new(ListFormat::Json);
            push(&mut get).unwrap();
            let mut head = ListWriter { places: &NONE, ..ListWriter::new(ListFormat::Json) }.without_body();
            push(&mut head).unwrap();
            let (get, head) = (get.into_body().unwrap(), head.into_body().unwrap());
            assert_eq!(get.size(), head.size());
            assert_eq!(to_bytes(head).await.unwrap().len(), 0);
        }
    }

    #[test]
    fn files_are_made_where_they_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let mut list = ListWriter::new(ListFormat::Json).in_folder(Some(folder.path()));
        push_many(&mut list).unwrap();
        let mut nowhere = ListWriter::new(ListFormat::Json).in_folder(Some(&folder.path().join("absent")));
        assert_eq!(push_many(&mut nowhere).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
