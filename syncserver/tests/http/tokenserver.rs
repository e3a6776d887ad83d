//! A tokenserver for a test, with an accounts server of its own, and the devices that sign in to it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testclient::{Jwt, Key, MockFxa, Request, Response, Token};

use crate::server::{Client, TestServer};
use crate::store::Store;

/// The key under which accounts are hashed, in tests.
pub(crate) const METRICS_SECRET: &str = "a metrics secret for tests";

/// An account.
pub(crate) const ALICE: &str = "a11ce000000000000000000000000001";
/// Another one.
pub(crate) const BOB: &str = "b0b00000000000000000000000000002";

/// A server whose access tokens come from a mock of the accounts server. Both stop when it is dropped.
pub(crate) struct Tokenserver {
    /// The server.
    pub(crate) server: TestServer,
    /// The accounts server.
    pub(crate) fxa: Arc<MockFxa>,
    /// Where the server keeps its data.
    pub(crate) store: Arc<Store>,
}

impl Tokenserver {
    /// With default settings and an empty database.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these variables of the environment.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_on(Arc::default(), Arc::new(MockFxa::start()), environment)
    }

    /// Stopped, and started again on the same database with other settings.
    pub(crate) fn restart_with(self, environment: &[(&str, &str)]) -> Self {
        let Self { server, fxa, store } = self;
        drop(server);
        Self::start_on(store, fxa, environment)
    }

    fn start_on(store: Arc<Store>, fxa: Arc<MockFxa>, environment: &[(&str, &str)]) -> Self {
        let url = fxa.url();
        let mut variables = vec![
            ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", url.as_str()),
            ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", METRICS_SECRET),
        ];
        variables.retain(|(name, _)| !environment.iter().any(|(given, _)| given == name));
        variables.extend(environment);
        Self { server: TestServer::start_again_on(&store, &variables), fxa, store }
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: &Request) -> Response {
        self.server.connect().await.send(request).await.unwrap()
    }

    /// Signs a device in.
    pub(crate) async fn sign_in(&self, device: &Device) -> Response {
        self.send(&device.request("/1.0/sync/1.5")).await
    }

    /// Signs a device in, which must succeed; the answer.
    pub(crate) async fn let_in(&self, device: &Device) -> Value {
        let answer = self.sign_in(device).await;
        assert_eq!(answer.status, 200, "{device:?} got {answer:?}; the log: {:#?}", self.server.log_lines());
        answer.json()
    }

    /// The uid that a device gets.
    pub(crate) async fn uid(&self, device: &Device) -> i64 {
        self.let_in(device).await["uid"].as_i64().unwrap()
    }

    /// The node that a device gets, out of its `api_endpoint`.
    pub(crate) async fn node(&self, device: &Device) -> String {
        let answer = self.let_in(device).await;
        let endpoint = answer["api_endpoint"].as_str().unwrap();
        endpoint.strip_suffix(&format!("/1.5/{}", answer["uid"])).unwrap().to_owned()
    }

    /// A client of the storage with the token that a device gets.
    pub(crate) async fn storage(&self, device: &Device) -> Client {
        let token = storage_token(&self.let_in(device).await);
        Client { connection: self.server.connect().await, token }
    }

    /// Waits until the server has the keys that the accounts server publishes.
    pub(crate) async fn wait_for_keys(&self) {
        for _ in 0..500 {
            if self.fxa.jwks_requests() > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server has not asked for the keys");
    }

    /// Runs statements in the server's database, as an operator might.
    pub(crate) fn sql(&self, statements: &str) {
        self.store.execute(statements);
    }

    /// Adds a node with so many places, none of them taken; its id.
    pub(crate) fn add_node(&self, url: &str, capacity: i64) -> i64 {
        self.sql(&format!(
            "INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
            SELECT id, '{url}', {capacity}, 0, {capacity}, 0, 0 FROM services WHERE service = 'sync-1.5'"
        ));
        number(&self.store.select(&["id"], &format!("nodes WHERE node = '{url}'"))[0][0])
    }

    /// The nodes, oldest first.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let found = self.store.select(&["available", "current_load"], "nodes ORDER BY id");
        found.iter().map(|row| Node { available: number(&row[0]), current_load: number(&row[1]) }).collect()
    }

    /// The rows of an account, oldest first.
    pub(crate) fn rows(&self, fxa_uid: &str) -> Vec<Row> {
        const COLUMNS: [&str; 7] =
            ["uid", "generation", "client_state", "created_at", "replaced_at", "nodeid", "keys_changed_at"];
        let from = format!("users WHERE email = '{fxa_uid}@api.accounts.firefox.com' ORDER BY uid");
        let found = self.store.select(&COLUMNS, &from);
        found
            .iter()
            .map(|row| Row {
                uid: number(&row[0]),
                generation: number(&row[1]),
                client_state: row[2].clone().unwrap(),
                created_at: number(&row[3]),
                replaced_at: row[4].as_ref().map(|text| text.parse().unwrap()),
                nodeid: number(&row[5]),
                keys_changed_at: row[6].as_ref().map(|text| text.parse().unwrap()),
            })
            .collect()
    }
}

/// A number that is never NULL.
fn number(text: &Option<String>) -> i64 {
    text.as_ref().unwrap().parse().unwrap()
}

/// A row of `users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) uid: i64,
    pub(crate) generation: i64,
    pub(crate) client_state: String,
    pub(crate) created_at: i64,
    pub(crate) replaced_at: Option<i64>,
    pub(crate) nodeid: i64,
    pub(crate) keys_changed_at: Option<i64>,
}

/// What changes in a row of `nodes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) available: i64,
    pub(crate) current_load: i64,
}

/// The storage token of an answer.
pub(crate) fn storage_token(answer: &Value) -> Token {
    let text = |name: &str| answer[name].as_str().unwrap();
    Token::from_parts(text("id"), text("key"), answer["uid"].as_u64().unwrap())
}

/// A device: an account, as of some time, with an encryption key.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) fxa_uid: String,
    pub(crate) generation: Option<i64>,
    pub(crate) keys_changed_at: i64,
    pub(crate) client_state: Vec<u8>,
}

impl Device {
    /// Of an account whose password and key are as old as the account.
    pub(crate) fn of(fxa_uid: &str) -> Self {
        let client_state = b"the first key...".to_vec();
        Self { fxa_uid: fxa_uid.to_owned(), generation: Some(1_000), keys_changed_at: 1_000, client_state }
    }

    /// After a change of the password, or whatever ends an account's sessions.
    pub(crate) fn generation(mut self, generation: impl Into<Option<i64>>) -> Self {
        self.generation = generation.into();
        self
    }

    /// With a key that was made then; 0: nobody knows when.
    pub(crate) fn keys_changed_at(mut self, at: i64) -> Self {
        self.keys_changed_at = at;
        self
    }

    /// With this key.
    pub(crate) fn key(mut self, client_state: &[u8]) -> Self {
        self.client_state = client_state.to_vec();
        self
    }

    /// The claims of its access token.
    pub(crate) fn jwt(&self) -> Jwt {
        let jwt = Jwt::access(&self.fxa_uid, 0).without_claim("fxa-generation");
        match self.generation {
            Some(generation) => jwt.claim("fxa-generation", generation),
            None => jwt,
        }
    }

    /// Its `X-KeyID`.
    pub(crate) fn key_id(&self) -> String {
        format!("{}-{}", self.keys_changed_at, URL_SAFE_NO_PAD.encode(&self.client_state))
    }

    /// Its request for a storage token.
    pub(crate) fn request(&self, target: &str) -> Request {
        self.request_with(target, &self.jwt().sign(&Key::first()))
    }

    /// The same with an access token of another making.
    pub(crate) fn request_with(&self, target: &str, access_token: &str) -> Request {
        Request::get(target)
            .header("Authorization", format_args!("Bearer {access_token}"))
            .header("X-KeyID", self.key_id())
    }
}

/// The body of an error.
pub(crate) fn error_body(status: &str, location: &str, name: &str, description: &str) -> Value {
    json!({ "status": status, "errors": [{ "location": location, "name": name, "description": description }] })
}

/// Checks an error of the tokenserver: all of its body, and the headers that every one has.
#[track_caller]
pub(crate) fn assert_error(answer: &Response, code: u16, status: &str, location: &str, name: &str, description: &str) {
    assert_eq!(answer.status, code, "{answer:?}");
    assert_eq!(answer.json(), error_body(status, location, name, description));
    assert_common_headers(answer);
    assert_eq!(answer.header("Retry-After").is_some(), code == 503, "{answer:?}");
}

/// Checks the headers that every answer of the tokenserver has.
#[track_caller]
pub(crate) fn assert_common_headers(answer: &Response) {
    let time: u64 = answer.header("X-Timestamp").unwrap().parse().unwrap();
    assert!(time.abs_diff(testclient::now().as_secs()) <= 5, "{answer:?}");
    assert_eq!(answer.header("Content-Type").map(|value| value.split(';').next().unwrap()), Some("application/json"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
}
