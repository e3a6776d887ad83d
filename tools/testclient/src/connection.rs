//! One keep-alive connection to a server.

use crate::{ChunkDecoder, Headers, Request, Response, Tls};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const READ_SIZE: usize = 64 * 1024;
const MAX_HEAD: usize = 256 * 1024;

/// A connection to a server, for one request after the other.
pub struct Connection {
    /// The host that requests are signed for, and that their `Host` header names.
    pub host: String,
    /// The port likewise.
    pub port: u16,
    /// How long any one step may take (60 s at first).
    pub timeout: Duration,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    reader: Reader,
    closed: bool,
    certificate: Option<Vec<u8>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { host, port, closed, .. } = self;
        f.debug_struct("Connection").field("host", host).field("port", port).field("closed", closed).finish()
    }
}

impl Connection {
    /// Connects.
    pub async fn connect(addr: SocketAddr) -> io::Result<Connection> {
        Ok(Connection::over(TcpStream::connect(addr).await?, addr))
    }

    /// Connects with a small receive buffer, so that a server notices early that nobody reads.
    pub async fn connect_with_buffer(addr: SocketAddr, receive_buffer: u32) -> io::Result<Connection> {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_recv_buffer_size(receive_buffer)?;
        Ok(Connection::over(socket.connect(addr).await?, addr))
    }

    /// Connects to `addr`, and speaks TLS with the server that `name` is the name of.
    pub async fn connect_tls(addr: SocketAddr, name: &str, tls: &Tls) -> io::Result<Connection> {
        Connection::tls_over(TcpStream::connect(addr).await?, name, tls).await
    }

    /// The same over a connection that is there.
    pub async fn tls_over(stream: TcpStream, name: &str, tls: &Tls) -> io::Result<Connection> {
        let addr = stream.peer_addr()?;
        let _ = stream.set_nodelay(true);
        let stream = tls.connect(name, stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|first| first.to_vec());
        let (half, writer) = tokio::io::split(stream);
        let mut connection = Connection::halves(Box::new(half), Box::new(writer), addr);
        name.clone_into(&mut connection.host);
        connection.certificate = certificate;
        Ok(connection)
    }

    /// The certificate that the server has shown, if it speaks TLS.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    fn over(stream: TcpStream, addr: SocketAddr) -> Connection {
        // Without it, a request in two writes waits for a delayed acknowledgement; not having it harms nothing else.
        let _ = stream.set_nodelay(true);
        let (half, writer) = stream.into_split();
        Connection::halves(Box::new(half), Box::new(writer), addr)
    }

    fn halves(
        half: Box<dyn AsyncRead + Send + Unpin>,
        writer: Box<dyn AsyncWrite + Send + Unpin>,
        addr: SocketAddr,
    ) -> Connection {
        let host = if addr.is_ipv6() { format!("[{}]", addr.ip()) } else { addr.ip().to_string() };
        let reader = Reader { half, buffer: Vec::new() };
        let timeout = Duration::from_secs(60);
        Connection { host, port: addr.port(), timeout, writer, reader, closed: false, certificate: None }
    }

    /// Whether the connection takes no further request.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends a request and reads the whole answer. An answer may come before all of the request was sent, as with a
    /// body that the server does not want; the connection then is closed.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        let mut body = self.send_for_body(request).await?;
        let mut all = Vec::new();
        while let Some(part) = body.next(usize::MAX).await? {
            if all.is_empty() {
                all = part;
            } else {
                all.extend_from_slice(&part);
            }
        }
        Ok(Response { status: body.status, headers: body.headers, body: all })
    }

    /// Sends a request and reads the head of the answer; the body is read as fast or as slowly as the caller likes.
    pub async fn send_for_body(&mut self, request: &Request) -> io::Result<BodyReader<'_>> {
        let bytes = request.to_bytes(&self.host, self.port);
        let limit = self.timeout;
        let exchange = async {
            let head = self.reader.read_head();
            tokio::pin!(head);
            tokio::select! {
                biased;
                // An error here need not be the last word: the server may have answered before it hung up.
                sent = self.writer.write_all(&bytes) => match (head.await, sent) {
                    (Ok(head), sent) => Ok((head, sent.is_err())),
                    (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
                },
                head = &mut head => Ok((head?, true)),
            }
        };
        let done = timeout(limit, exchange).await.unwrap_or_else(|_| Err(timed_out()));
        let ((status, headers), cut) = done.inspect_err(|_| self.closed = true)?;
        self.closed |= cut;
        self.body_reader(status, headers, request.is_head())
    }

    /// Sends bytes as they are.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(self.timeout, self.writer.write_all(bytes)).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub async fn shutdown_write(&mut self) -> io::Result<()> {
        self.closed = true;
        self.writer.shutdown().await
    }

    /// Waits for the interim answer to a head with `Expect: 100-continue`.
    pub async fn read_continue(&mut self) -> io::Result<()> {
        let head = timeout(self.timeout, self.reader.read_any_head()).await.unwrap_or_else(|_| Err(timed_out()));
        match head.inspect_err(|_| self.closed = true)? {
            (100, _) => Ok(()),
            (other, _) => Err(bad(format!("{other} instead of 100"))),
        }
    }

    /// Reads an answer to what [`Connection::send_raw`] sent.
    pub async fn read_response(&mut self) -> io::Result<Response> {
        let head = timeout(self.timeout, self.reader.read_head()).await.unwrap_or_else(|_| Err(timed_out()));
        let (status, headers) = head.inspect_err(|_| self.closed = true)?;
        let mut body = self.body_reader(status, headers, false)?;
        let mut all = Vec::new();
        while let Some(part) = body.next(usize::MAX).await? {
            all.extend_from_slice(&part);
        }
        Ok(Response { status: body.status, headers: body.headers, body: all })
    }

    /// Whether the server has hung up, waiting so long for it to do so.
    pub async fn is_hung_up_within(&mut self, wait: Duration) -> bool {
        match timeout(wait, self.reader.fill(READ_SIZE)).await {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(_)) | Err(_) => false,
        }
    }

    fn body_reader(&mut self, status: u16, headers: Headers, is_head: bool) -> io::Result<BodyReader<'_>> {
        self.closed |= headers.has_word("connection", "close");
        let framing = if is_head || matches!(status, 204 | 304) {
            Framing::Length(0)
        } else if headers.has_word("transfer-encoding", "chunked") {
            Framing::Chunked(ChunkDecoder::default())
        } else if let Some(length) = headers.get("content-length") {
            let length = length.parse().map_err(|_| bad(format!("not a length: {length:?}")))?;
            Framing::Length(length)
        } else {
            self.closed = true;
            Framing::UntilClose
        };
        Ok(BodyReader { status, headers, framing, connection: self })
    }
}

/// An answer whose body is being read. Dropping it before the end leaves the connection unusable.
#[derive(Debug)]
pub struct BodyReader<'a> {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    framing: Framing,
    connection: &'a mut Connection,
}

#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked(ChunkDecoder),
    UntilClose,
}

impl BodyReader<'_> {
    /// The next part of the body, at most `max` bytes, and no more than that is taken from the socket; `None` after
    /// the last.
    pub async fn next(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let limit = self.connection.timeout;
        let part = timeout(limit, self.next_part(max)).await.unwrap_or_else(|_| Err(timed_out()));
        part.inspect_err(|_| self.connection.closed = true)
    }

    async fn next_part(&mut self, max: usize) -> io::Result<Option<Vec<u8>>> {
        let reader = &mut self.connection.reader;
        let mut out = Vec::new();
        loop {
            if !reader.buffer.is_empty() {
                let used = match &mut self.framing {
                    Framing::Length(left) => {
                        let take = reader.buffer.len().min(max).min(usize::try_from(*left).unwrap_or(usize::MAX));
                        out.extend_from_slice(&reader.buffer[..take]);
                        *left -= take as u64;
                        take
                    }
                    Framing::Chunked(decoder) => decoder.decode(&reader.buffer, &mut out, max)?,
                    Framing::UntilClose => {
                        let take = reader.buffer.len().min(max);
                        out.extend_from_slice(&reader.buffer[..take]);
                        take
                    }
                };
                reader.buffer.drain(..used);
            }
            let done = match &self.framing {
                Framing::Length(left) => *left == 0,
                Framing::Chunked(decoder) => decoder.is_done(),
                Framing::UntilClose => false,
            };
            if !out.is_empty() {
                return Ok(Some(out));
            }
            if done {
                return Ok(None);
            }
            if reader.fill(READ_SIZE.min(max)).await? == 0 {
                return match self.framing {
                    Framing::UntilClose => Ok(None),
                    Framing::Length(_) | Framing::Chunked(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }
}

struct Reader {
    half: Box<dyn AsyncRead + Send + Unpin>,
    /// What was read and not yet used.
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads what is there, at most `max` bytes; 0 at the end.
    async fn fill(&mut self, max: usize) -> io::Result<usize> {
        let old = self.buffer.len();
        self.buffer.resize(old + max, 0);
        let got = self.half.read(&mut self.buffer[old..]).await;
        self.buffer.truncate(old + got.as_ref().map_or(0, |n| *n));
        got
    }

    /// The head of the next answer; interim ones (100) are passed over.
    async fn read_head(&mut self) -> io::Result<(u16, Headers)> {
        loop {
            let head = self.read_any_head().await?;
            if head.0 >= 200 {
                return Ok(head);
            }
        }
    }

    async fn read_any_head(&mut self) -> io::Result<(u16, Headers)> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = Headers::parse(&self.buffer[..end])?;
                self.buffer.drain(..end + 4);
                return Ok(head);
            } else if self.buffer.len() > MAX_HEAD {
                return Err(bad("a head without end".into()));
            } else if self.fill(READ_SIZE).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the server took too long")
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
