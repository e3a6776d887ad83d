//! A client of the storage.

use std::io;

use serde_json::Value;
use testclient::{Connection, Request, Response, Token};

use crate::program::{SECRET, Server};

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
