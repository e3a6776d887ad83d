//! An answer.

use serde_json::Value;
use std::fmt;
use std::io;

/// A complete answer.
#[derive(Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body, out of its transfer coding, but not decompressed.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text. Panics, with the answer in its message, where it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The body as JSON. Panics, with the answer in its message, where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} ", self.status, self.headers)?;
        let shown = &self.body[..self.body.len().min(2000)];
        write!(f, "{:?} ({} bytes)", String::from_utf8_lossy(shown), self.body.len())
    }
}

/// The headers of an answer, in their order.
#[derive(Clone, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first one of that name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All of that name, in any case.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All, as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a comma-separated header has this word in it.
    pub(crate) fn has_word(&self, name: &str, word: &str) -> bool {
        self.get_all(name).flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    /// Reads the head of an answer, up to and with the empty line.
    pub(crate) fn parse(head: &[u8]) -> io::Result<(u16, Headers)> {
        let bad =
            || io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {:?}", String::from_utf8_lossy(head)));
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let status_line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).ok_or_else(bad)?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(bad)?;
        let mut headers = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok((status, Headers(headers)))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_in_any_case() {
        let head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nConnection: keep-alive, Close\r\n\r\n";
        let (status, headers) = Headers::parse(head).unwrap();
        assert_eq!(status, 200);
        assert_eq!(headers.get("x-A"), Some("1"));
        assert_eq!(headers.get_all("X-a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers.get("x-b"), None);
        assert!(headers.has_word("connection", "close"));
    }

    #[test]
    fn nonsense_is_an_error() {
        for head in ["", "SSH-2.0\r\n\r\n", "HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nx\r\n\r\n"] {
            assert!(Headers::parse(head.as_bytes()).is_err(), "{head:?}");
        }
    }
}
