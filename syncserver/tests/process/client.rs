//! A client of the storage.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;
use testclient::{Connection, Request, Response, Token};

use crate::program::{PATIENCE, SECRET, Server};

/// A connection with a token.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) token: Token,
}

impl Server {
    /// A client that is signed in as the storage user `uid`.
    pub(crate) async fn user(&self, uid: u64) -> Client {
        self.user_of(SECRET, uid).await
    }

    /// The same with a token that another secret has signed.
    pub(crate) async fn user_of(&self, secret: &str, uid: u64) -> Client {
        Client { connection: self.connect().await, token: Token::builder(secret, uid).build() }
    }

    /// Waits until it takes no new connections, as one does that was told to stop.
    pub(crate) async fn refuses_connections(&self) {
        let begin = Instant::now();
        while Connection::connect(self.addr).await.is_ok() {
            assert!(begin.elapsed() < PATIENCE, "new connections are taken: {:#?}", self.log_lines());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Client {
    /// The answer to a request, or how the connection ended without one.
    pub(crate) async fn try_send(&mut self, method: &str, target: &str, body: Option<&str>) -> io::Result<Response> {
        let mut request = Request::new(method, self.token.path(target));
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        self.connection.send(&request.auth(&self.token)).await
    }

    pub(crate) async fn get(&mut self, target: &str) -> Response {
        self.try_send("GET", target, None).await.unwrap()
    }

    pub(crate) async fn put(&mut self, target: &str, body: &str) -> Response {
        self.try_send("PUT", target, Some(body)).await.unwrap()
    }

    pub(crate) async fn post(&mut self, target: &str, body: &str) -> Response {
        self.try_send("POST", target, Some(body)).await.unwrap()
    }

    /// Writes a record, which must succeed.
    pub(crate) async fn keep(&mut self, id: &str, payload: &str) {
        let answer = self.put(&format!("/storage/kept/{id}"), &record(payload)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Begins to write a record: sends the head, and waits until the server wants the body, which is returned.
    pub(crate) async fn begin_to_keep(&mut self, id: &str, payload: &str) -> Vec<u8> {
        let request = Request::put(self.token.path(&format!("/storage/kept/{id}")), record(payload));
        let request = request.header("Expect", "100-continue").auth(&self.token);
        let mut bytes = request.to_bytes(&self.connection.host, self.connection.port);
        let body = bytes.split_off(bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4);
        self.connection.send_raw(&bytes).await.unwrap();
        self.connection.read_continue().await.unwrap();
        body
    }

    /// The payload of a record that [`Client::keep`] wrote.
    pub(crate) async fn kept(&mut self, id: &str) -> Value {
        let answer = self.get(&format!("/storage/kept/{id}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["payload"].clone()
    }
}

/// The body of a PUT.
pub(crate) fn record(payload: &str) -> String {
    serde_json::json!({ "payload": payload }).to_string()
}
