//! A stand-in for the accounts server, with whatever answers a test wants.

use crate::{Headers, Key};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What the mock answers to one of its two requests.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    body: Vec<u8>,
    delay: Duration,
    hang_up: bool,
}

impl Reply {
    /// 200 with this JSON.
    pub fn json(body: &Value) -> Reply {
        Reply::status(200, body.to_string())
    }

    /// Any status with any body.
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, body: body.into(), delay: Duration::ZERO, hang_up: false }
    }

    /// The connection is closed without an answer.
    pub fn hang_up() -> Reply {
        Reply { hang_up: true, ..Reply::status(0, "") }
    }

    /// A JWKS of these keys.
    pub fn jwks(keys: &[&Key]) -> Reply {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        Reply::json(&json!({ "keys": keys }))
    }

    /// The same answer, so much later.
    pub fn after(mut self, delay: Duration) -> Reply {
        self.delay = delay;
        self
    }
}

/// A running mock. It has a thread of its own, so that a test that blocks does not stop it, and ends when dropped.
#[derive(Debug)]
pub struct MockFxa {
    addr: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    jwks: Reply,
    verify: Reply,
    jwks_requests: usize,
    verify_requests: usize,
    verify_bodies: Vec<Value>,
}

impl MockFxa {
    /// Starts on a free port of 127.0.0.1. At first `/v1/jwks` lists [`Key::first`], and `/v1/verify` refuses.
    pub fn start() -> MockFxa {
        let shared = Arc::new(Mutex::new(Shared {
            jwks: Reply::jwks(&[&Key::first()]),
            verify: Reply::status(400, r#"{"code":400,"errno":108,"error":"Invalid token","message":"Invalid token"}"#),
            jwks_requests: 0,
            verify_requests: 0,
            verify_bodies: Vec::new(),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, state) => {}
                    _ = stopped => {}
                }
            });
        });
        MockFxa { addr, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same as a setting: `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the answer to `GET /v1/jwks`.
    pub fn set_jwks(&self, reply: Reply) {
        self.shared().jwks = reply;
    }

    /// Sets the answer to `POST /v1/verify`.
    pub fn set_verify(&self, reply: Reply) {
        self.shared().verify = reply;
    }

    /// How often the keys were asked for.
    pub fn jwks_requests(&self) -> usize {
        self.shared().jwks_requests
    }

    /// How often a token was sent to be verified.
    pub fn verify_requests(&self) -> usize {
        self.shared().verify_requests
    }

    /// What was sent to be verified (null where it was no JSON).
    pub fn verify_bodies(&self) -> Vec<Value> {
        self.shared().verify_bodies.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for MockFxa {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, was printed; a second one here would abort the test run.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that goes away is no fault of the mock's.
            let _ = serve(stream, &shared).await;
        });
    }
}

async fn serve(mut stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    let mut buffer = Vec::new();
    loop {
        let Some((route, body)) = read_request(&mut stream, &mut buffer).await? else { return Ok(()) };
        let reply = answer(&route, &body, &mut shared.lock().unwrap());
        tokio::time::sleep(reply.delay).await;
        if reply.hang_up {
            return Ok(());
        }
        let head = format!(
            "HTTP/1.1 {} Mock\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            reply.status,
            reply.body.len()
        );
        stream.write_all(&[head.as_bytes(), &reply.body].concat()).await?;
    }
}

fn answer(route: &str, body: &[u8], shared: &mut Shared) -> Reply {
    match route {
        "GET /v1/jwks" => {
            shared.jwks_requests += 1;
            shared.jwks.clone()
        }
        "POST /v1/verify" => {
            shared.verify_requests += 1;
            shared.verify_bodies.push(serde_json::from_slice(body).unwrap_or_default());
            shared.verify.clone()
        }
        _ => Reply::status(404, r#"{"code":404,"errno":116,"error":"Not Found"}"#),
    }
}

/// The next request as its method with its target, and its body; `None` when the client has left.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<(String, Vec<u8>)>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            // Headers look the same in requests; only the first line differs.
            let line_end = buffer.iter().position(|byte| *byte == b'\r').unwrap_or(end);
            let line = String::from_utf8_lossy(&buffer[..line_end]).into_owned();
            let as_answer = [b"HTTP/1.1 200", &buffer[line_end..end]].concat();
            let (_, headers) = Headers::parse(&as_answer)?;
            let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            let total = end + 4 + length;
            if buffer.len() >= total {
                let body = buffer[end + 4..total].to_vec();
                buffer.drain(..total);
                let route = line.rsplit_once(' ').map_or(line.as_str(), |(route, _)| route);
                return Ok(Some((route.to_owned(), body)));
            }
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}
