//! Answers that hold records, written straight into bytes, in memory while they are few and in a file beyond that.
//!
//! A whole collection can be larger than the memory there is, and a client can be slow to take it. So the database is
//! read as fast as it goes, into a temporary file that has no name, and the client is served from that: neither the
//! memory nor a connection to the database waits for it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use futures_util::StreamExt;
use syncstorage_db_common::{Bso, BsoId, Sink};
use tokio_util::io::ReaderStream;

/// An answer up to this size, in bytes, stays in memory.
const MEMORY_BYTES: usize = 1 << 20;

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
    file: Option<File>,
}

impl ListWriter {
    /// An empty list.
    #[must_use]
    pub fn new(format: ListFormat) -> Self {
        let memory = match format {
            ListFormat::Json => b"[".to_vec(),
            ListFormat::Newlines => Vec::new(),
        };
        Self { format, count: 0, memory, file: None }
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
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.memory)?;
        self.memory.clear();
        Ok(())
    }

    /// The whole list, as the body of an answer.
    pub fn into_body(mut self) -> io::Result<BoxBody> {
        if self.format == ListFormat::Json {
            self.memory.push(b']');
        }
        if self.file.is_some() {
            self.spill()?;
        }
        match self.file {
            None => Ok(self.memory.boxed()),
            Some(mut file) => {
                let size = file.stream_position()?;
                file.seek(SeekFrom::Start(0))?;
                let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ_BYTES);
                Ok(SizedStream::new(size, chunks.map(|chunk| chunk.map_err(actix_web::Error::from))).boxed())
            }
        }
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
        assert!(list.file.is_some());
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
}
