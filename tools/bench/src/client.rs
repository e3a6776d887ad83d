//! A connection that costs as little as it can.

use crate::Result;
use crate::users::User;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::io::{self, Write as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicU64, Ordering};
use testclient::ChunkDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where the server is.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The address to connect to.
    pub(crate) addr: SocketAddr,
    /// The host to sign for.
    pub(crate) host: String,
    /// The port to sign for.
    pub(crate) port: u16,
    /// What stands before `/1.5` in paths: nothing, or `/prefix`.
    pub(crate) prefix: String,
}

impl Target {
    /// Reads `http://host[:port][/prefix]`.
    pub(crate) fn parse(url: &str) -> Result<Target> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url} does not start with http://"))?;
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            // The colon may be one inside an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("{url} has a port that is no number"))?)
            }
            _ => (authority, 80),
        };
        let addr = (host.trim_matches(['[', ']']), port).to_socket_addrs()?.next();
        let addr = addr.ok_or_else(|| format!("{host} has no address"))?;
        Ok(Target { addr, host: host.to_ascii_lowercase(), port, prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// The URL, as the node in tokens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

/// The status of an answer, and its body until the next request.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A keep-alive connection.
pub(crate) struct Client {
    target: Target,
    stream: TcpStream,
    /// The first part of every nonce, so that no two connections have the same.
    series: u64,
    count: u64,
    to_sign: Vec<u8>,
    output: Vec<u8>,
    input: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(target: &Target) -> io::Result<Client> {
        static SERIES: AtomicU64 = AtomicU64::new(0);
        let stream = TcpStream::connect(target.addr).await?;
        stream.set_nodelay(true)?;
        let clock = u64::from(testclient::now().subsec_nanos()) << 20;
        Ok(Client {
            target: target.clone(),
            stream,
            series: clock + SERIES.fetch_add(1, Ordering::Relaxed),
            count: 0,
            to_sign: Vec::new(),
            output: Vec::new(),
            input: vec![0; 64 * 1024],
            body: Vec::new(),
        })
    }

    /// Sends a request, freshly signed, and reads the answer.
    pub(crate) async fn send(
        &mut self,
        user: &User,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> io::Result<Answer<'_>> {
        self.count += 1;
        self.write_request(user, method, path, body, testclient::now().as_secs())?;
        self.stream.write_all(&self.output).await?;
        self.read_answer().await
    }

    /// The body of the last answer.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    fn write_request(&mut self, user: &User, method: &str, path: &str, body: Option<&[u8]>, ts: u64) -> io::Result<()> {
        let Target { host, port, .. } = &self.target;
        let (series, count) = (self.series, self.count);
        self.to_sign.clear();
        write!(
            self.to_sign,
            "hawk.1.header\n{ts}\n{series:x}.{count:x}\n{method}\n{root}{path}\n{host}\n{port}\n\n\n",
            root = user.root
        )?;
        let tag = hmac::sign(user.token.hmac_key(), &self.to_sign);
        let mut mac = [0; 44];
        let encoded = STANDARD.encode_slice(tag.as_ref(), &mut mac).map_err(io::Error::other)?;
        let mac = std::str::from_utf8(&mac[..encoded]).map_err(io::Error::other)?;
        self.output.clear();
        write!(
            self.output,
            "{method} {root}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: application/json\r\n\
             Authorization: Hawk id=\"{id}\", ts=\"{ts}\", nonce=\"{series:x}.{count:x}\", mac=\"{mac}\"\r\n",
            root = user.root,
            id = user.token.id
        )?;
        match body {
            Some(body) => {
                write!(self.output, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len())?;
                self.output.extend_from_slice(body);
            }
            None => self.output.extend_from_slice(b"\r\n"),
        }
        Ok(())
    }

    async fn read_answer(&mut self) -> io::Result<Answer<'_>> {
        let mut have = 0;
        let end = loop {
            let got = self.stream.read(&mut self.input[have..]).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let from = have.saturating_sub(3);
            have += got;
            if let Some(at) = self.input[from..have].windows(4).position(|four| four == b"\r\n\r\n") {
                break from + at + 4;
            }
            if have == self.input.len() {
                return Err(bad("a head without end"));
            }
        };
        let head = Head::parse(&self.input[..end])?;
        self.body.clear();
        let mut rest = end..have;
        match head.framing {
            Framing::Length(length) => loop {
                self.body.extend_from_slice(&self.input[rest]);
                if self.body.len() >= length {
                    break;
                }
                rest = 0..read_some(&mut self.stream, &mut self.input).await?;
            },
            Framing::Chunked => {
                let mut decoder = ChunkDecoder::default();
                loop {
                    decoder.decode(&self.input[rest], &mut self.body, usize::MAX)?;
                    if decoder.is_done() {
                        break;
                    }
                    rest = 0..read_some(&mut self.stream, &mut self.input).await?;
                }
            }
        }
        Ok(Answer { status: head.status, body: &self.body })
    }
}

async fn read_some(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    match stream.read(into).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        got => Ok(got),
    }
}

struct Head {
    status: u16,
    framing: Framing,
}

enum Framing {
    Length(usize),
    Chunked,
}

impl Head {
    fn parse(head: &[u8]) -> io::Result<Head> {
        let digits =
            head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or_else(|| bad("not HTTP/1.1"))?;
        let status = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        let status = status.ok_or_else(|| bad("a status that is no number"))?;
        if status == 204 || status == 304 {
            return Ok(Head { status, framing: Framing::Length(0) });
        }
        if let Some(value) = value(head, b"\ncontent-length:") {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
            return Ok(Head { status, framing: Framing::Length(length.ok_or_else(|| bad("a length that is none"))?) });
        }
        if value(head, b"\ntransfer-encoding:").is_some() {
            return Ok(Head { status, framing: Framing::Chunked });
        }
        Err(bad("an answer without a length"))
    }
}

/// The value of a header, given as the line end before it, its name in lower case, and the colon.
fn value<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = head.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))?;
    head[at + name.len()..].split(|byte| *byte == b'\r').next()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testclient::Hawk;

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::parse("http://127.0.0.1:8000/").unwrap();
        assert_eq!(target.url(), "http://127.0.0.1:8000");
        let target = Target::parse("http://[::1]/sync/").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), ("[::1]", 80, "/sync"));
        assert_eq!(target.addr, "[::1]:80".parse().unwrap());
        assert!(Target::parse("https://example.com").is_err());
        assert!(Target::parse("http://127.0.0.1:x").is_err());
    }

    #[test]
    fn heads_are_read_in_any_case() {
        let head = Head::parse(b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-LENGTH: 12\r\n\r\n").unwrap();
        assert!(head.status == 200 && matches!(head.framing, Framing::Length(12)));
        let head = Head::parse(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        assert!(head.status == 503 && matches!(head.framing, Framing::Chunked));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn requests_are_signed_as_the_test_client_signs_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("http://{}/p", listener.local_addr().unwrap())).unwrap();
        let user = User::one("secret", &target, 7);
        let mut client = runtime.block_on(Client::connect(&target)).unwrap();
        client.write_request(&user, "PUT", "/x?y", Some(b"{}"), 5).unwrap();
        let sent = String::from_utf8(client.output.clone()).unwrap();
        let nonce = sent.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        let hawk = Hawk {
            method: "PUT",
            target: "/p/1.5/7/x?y",
            host: "127.0.0.1",
            port: target.port,
            ts: 5,
            nonce,
            hash: None,
            ext: None,
        };
        assert!(sent.contains(&hawk.header(&user.token.id, user.token.hmac_key())), "{sent}");
        assert!(sent.starts_with("PUT /p/1.5/7/x?y HTTP/1.1\r\n"), "{sent}");
        assert!(sent.ends_with("Content-Length: 2\r\n\r\n{}"), "{sent}");
    }
}
