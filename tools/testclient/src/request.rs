//! A request, as the bytes that go out.

use crate::{Hawk, HawkOptions, PayloadHash, Token, payload_hash, token};

/// A request to send with [`Connection::send`](crate::Connection::send). Nothing in it is checked or escaped.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
    auth: Option<Token>,
    hawk: HawkOptions,
}

impl Request {
    /// A request with any method and any target (path and query, raw).
    pub fn new(method: &str, target: impl Into<String>) -> Request {
        Request {
            method: method.to_owned(),
            target: target.into(),
            headers: Vec::new(),
            body: None,
            chunked: false,
            auth: None,
            hawk: HawkOptions::default(),
        }
    }

    /// GET.
    pub fn get(target: impl Into<String>) -> Request {
        Request::new("GET", target)
    }

    /// HEAD.
    pub fn head(target: impl Into<String>) -> Request {
        Request::new("HEAD", target)
    }

    /// PUT of a JSON body.
    pub fn put(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request::new("PUT", target).header("Content-Type", "application/json").body(body)
    }

    /// POST of a JSON body.
    pub fn post(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).header("Content-Type", "application/json").body(body)
    }

    /// DELETE.
    pub fn delete(target: impl Into<String>) -> Request {
        Request::new("DELETE", target)
    }

    /// Adds a header; one of the same name that is there already stays. `Host`, `Authorization`, `Content-Length` and
    /// `Transfer-Encoding` given here take the place of those that are made otherwise.
    pub fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Takes away the headers of that name, and sets it anew.
    pub fn set_header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self = self.without_header(name);
        self.header(name, value)
    }

    /// Takes away the headers of that name.
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks, without a length announced.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Signs with this token, or with none.
    pub fn auth<'a>(mut self, token: impl Into<Option<&'a Token>>) -> Self {
        self.auth = token.into().cloned();
        self
    }

    /// Signs otherwise than usual.
    pub fn hawk(mut self, options: HawkOptions) -> Self {
        self.hawk = options;
        self
    }

    /// Whether the answer has no body whatever its headers say.
    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The request as sent over a connection to `host` and `port`, with a fresh nonce and time in its signature.
    pub fn to_bytes(&self, host: &str, port: u16) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut line = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if !self.has("host") {
            line("Host", &format!("{host}:{port}"));
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if let Some(token) = self.auth.as_ref().filter(|_| !self.has("authorization")) {
            line("Authorization", &self.authorization(token, host, port));
        }
        let body = self.body.as_deref().unwrap_or_default();
        let chunked = self.chunked && self.body.is_some();
        if chunked && !self.has("transfer-encoding") {
            line("Transfer-Encoding", "chunked");
        } else if !chunked && !self.has("content-length") && (self.body.is_some() || takes_body(&self.method)) {
            line("Content-Length", &body.len().to_string());
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if chunked {
            for chunk in body.chunks(8192) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(body);
        }
        bytes
    }

    fn authorization(&self, token: &Token, host: &str, port: u16) -> String {
        let options = &self.hawk;
        let hash = match &options.hash {
            PayloadHash::None => None,
            PayloadHash::Text(text) => Some(text.clone()),
            PayloadHash::OfBody => {
                let content_type = self.find("content-type").unwrap_or_default();
                Some(payload_hash(content_type, self.body.as_deref().unwrap_or_default()))
            }
        };
        let nonce = options.nonce.clone().unwrap_or_else(|| token::random_hex(6));
        let hawk = Hawk {
            method: options.method.as_deref().unwrap_or(&self.method),
            target: options.target.as_deref().unwrap_or(&self.target),
            host: options.host.as_deref().unwrap_or(host),
            port: options.port.unwrap_or(port),
            ts: options.ts.unwrap_or_else(|| i64::try_from(crate::now().as_secs()).unwrap()),
            nonce: &nonce,
            hash: hash.as_deref(),
            ext: options.ext.as_deref(),
        };
        match &options.mac {
            Some(mac) => hawk.header_with_mac(&token.id, mac),
            None => hawk.header(&token.id, token.hmac_key()),
        }
    }
}

/// Whether a request without a body has to say that it has none.
fn takes_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(request: &Request) -> String {
        String::from_utf8(request.to_bytes("127.0.0.1", 8000)).unwrap()
    }

    #[test]
    fn a_plain_request_has_nothing_but_a_host() {
        assert_eq!(text(&Request::get("/?a=%20")), "GET /?a=%20 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n");
        let request = Request::get("/").header("host", "other").header("X-A", 1).set_header("x-a", 2);
        assert_eq!(text(&request), "GET / HTTP/1.1\r\nhost: other\r\nx-a: 2\r\n\r\n");
    }

    #[test]
    fn bodies_go_with_a_length_or_in_chunks() {
        let put = Request::put("/x", "{}");
        assert!(text(&put).ends_with("Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"));
        assert!(text(&put.chunked()).ends_with("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
        assert!(text(&Request::new("POST", "/")).ends_with("Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn signatures_cover_what_is_sent_unless_told_otherwise() {
        let token = Token::mint("secret", 1, 1_700_000_000, "http://localhost");
        let options = HawkOptions { ts: Some(5), nonce: Some("n".into()), ..Default::default() };
        let sent = text(&Request::get("/a?b").auth(&token).hawk(options.clone()));
        let plain = Hawk {
            method: "GET",
            target: "/a?b",
            host: "127.0.0.1",
            port: 8000,
            ts: 5,
            nonce: "n",
            hash: None,
            ext: None,
        };
        assert!(sent.contains(&plain.header(&token.id, token.hmac_key())));
        let options = HawkOptions { host: Some("Host".into()), port: Some(443), hash: PayloadHash::OfBody, ..options };
        let sent = text(&Request::put("/a?b", "{}").auth(&token).hawk(options));
        let hash = payload_hash("application/json", b"{}");
        let other = Hawk { method: "PUT", host: "host", port: 443, hash: Some(&hash), ..plain };
        assert!(sent.contains(&other.header(&token.id, token.hmac_key())));
        assert!(!text(&Request::get("/").auth(None)).contains("Authorization"));
    }
}
