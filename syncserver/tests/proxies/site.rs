//! A server behind a proxy, and a client that is signed in there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use testclient::{Certificate, Connection, Jwt, Key, MockFxa, Request, Response, Tls, Token};
use tokio::net::TcpSocket;

use crate::program::{Folder, Server};
use crate::proxy::{NAME, Proxy, RunningProxy};

/// How long a proxy may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a browser with an access token of the mock sends with it.
const KEY_ID: &str = "1000-c2VjcmV0IGtleSBpZA";

/// Where clients seem to come from: not where the proxy comes from.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// A proxy, and the server behind it.
pub(crate) struct Site {
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
    /// Where the proxy listens.
    pub(crate) addr: SocketAddr,
    pub(crate) prefix: &'static str,
    tls: Tls,
    // From here on in the order in which they may go.
    running: RunningProxy,
    _fxa: MockFxa,
    _folder: Folder,
}

impl Site {
    pub(crate) async fn start(proxy: Proxy, prefix: &'static str) -> Self {
        let certificate = Certificate::new(&[NAME]);
        let (folder, fxa) = (Folder::new(), MockFxa::start());
        let addr = SocketAddr::from(([127, 0, 0, 1], testdb::free_port().unwrap()));
        let server = folder.start_with(&[
            ("SYNC_PUBLIC_URL", &format!("https://{NAME}:{}{prefix}", addr.port())),
            ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &fxa.url()),
            ("SYNC_TRUSTED_PROXIES", "127.0.0.1"),
            ("SYNC_HUMAN_LOGS", "0"),
        ]);
        let running = proxy.start(prefix, addr, server.addr, &certificate);
        let tls = Tls::trusting(&[&certificate]);
        let mut site = Self { proxy, server, addr, prefix, tls, running, _fxa: fxa, _folder: folder };
        let begin = Instant::now();
        while !site.answers().await {
            let output = site.running.output();
            assert!(!site.running.has_ended() && begin.elapsed() < PATIENCE, "{proxy:?} does not answer: {output}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site
    }

    async fn answers(&self) -> bool {
        let Ok(mut connection) = self.try_connect().await else { return false };
        let request = Request::get(format!("{}/__version__", self.prefix));
        connection.send(&request).await.is_ok_and(|answer| answer.status == 200)
    }

    async fn try_connect(&self) -> std::io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((CLIENT, 0).into())?;
        Connection::tls_over(socket.connect(self.addr).await?, NAME, &self.tls).await
    }

    /// A connection through the proxy.
    pub(crate) async fn connect(&self) -> Connection {
        self.try_connect().await.unwrap_or_else(|error| panic!("{error}: {}", self.running.output()))
    }

    /// A sign-in through the proxy.
    pub(crate) async fn sign_in(&self, target: &str) -> Response {
        let access_token = Jwt::access("0123456789abcdef0123456789abcdef", 1_000).sign(&Key::first());
        let request = Request::get(format!("{}{target}", self.prefix))
            .header("Authorization", format!("Bearer {access_token}"))
            .header("X-KeyID", KEY_ID);
        self.connect().await.send(&request).await.unwrap()
    }

    /// A client that has signed in through the proxy.
    pub(crate) async fn client(&self) -> Client<'_> {
        let answer = self.sign_in("/1.0/sync/1.5").await.json();
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{name} in {answer}")).to_owned();
        let token = Token::from_parts(&text("id"), &text("key"), answer["uid"].as_u64().unwrap());
        Client { site: self, connection: self.connect().await, token }
    }
}

/// A client behind the proxy.
pub(crate) struct Client<'a> {
    pub(crate) site: &'a Site,
    connection: Connection,
    pub(crate) token: Token,
}

impl Client<'_> {
    /// The path that the client sends.
    pub(crate) fn path(&self, target: &str) -> String {
        format!("{}{}", self.site.prefix, self.token.path(target))
    }

    fn request(&self, method: &str, target: &str, build: impl FnOnce(Request) -> Request) -> Request {
        build(Request::new(method, self.path(target))).auth(&self.token)
    }

    /// Signs and sends a request through the proxy. Its target begins behind `/1.5/<uid>`.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        build: impl FnOnce(Request) -> Request,
    ) -> Response {
        if self.connection.is_closed() {
            self.connection = self.site.connect().await;
        }
        let request = self.request(method, target, build);
        let answer = self.connection.send(&request).await;
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}: {}", self.site.running.output()))
    }

    /// The same request sent to the server itself.
    pub(crate) async fn send_directly(
        &self,
        method: &str,
        target: &str,
        build: impl FnOnce(Request) -> Request,
    ) -> Response {
        let mut connection = Connection::connect(self.site.server.addr).await.unwrap();
        (connection.host, connection.port) = (NAME.to_owned(), self.site.addr.port());
        connection.send(&self.request(method, target, build)).await.unwrap()
    }

    /// Sends a request through the proxy that has to succeed.
    pub(crate) async fn ok(&mut self, method: &str, target: &str, build: impl FnOnce(Request) -> Request) -> Response {
        let answer = self.send(method, target, build).await;
        let log = self.site.server.log_lines();
        let last = log.last();
        assert_eq!(answer.status, 200, "{:?}, {method} {target}: {answer:?}: {last:?}", self.site.proxy);
        answer
    }

    /// PUT of a record that has to succeed.
    pub(crate) async fn keep(&mut self, target: &str, payload: &str) -> Response {
        let body = serde_json::json!({ "payload": payload }).to_string();
        self.ok("PUT", target, |request| json(request, body)).await
    }
}

/// Gives a request a JSON body.
pub(crate) fn json(request: Request, body: impl Into<Vec<u8>>) -> Request {
    request.header("Content-Type", "application/json").body(body)
}
