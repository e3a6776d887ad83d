//! A whole site: the server, an accounts server, devices that sign in, and the commands of an operator beside it. On the
//! database that `TEST_BACKEND` names.

use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use testclient::{Jwt, Key, MockFxa, Request, Response, Token};

use crate::client::Client;
use crate::program::{Folder, Server, run};

pub(crate) const ALICE: &str = "a11ce000000000000000000000000001";
pub(crate) const BOB: &str = "b0b00000000000000000000000000002";

/// See the [module documentation](self).
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) server: Server,
    fxa: MockFxa,
    environment: Vec<(String, String)>,
}

impl Site {
    /// Starts it, with these variables of the environment for the server and for all commands.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let (folder, fxa) = (Folder::on_backend(), MockFxa::start());
        let mut environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.push(("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL".to_owned(), fxa.url()));
        let server = folder.start_with(&borrowed(&environment));
        Self { folder, server, fxa, environment }
    }

    /// Stopped, and started again with these variables in place of those it had.
    pub(crate) fn restart(self, environment: &[(&str, &str)]) -> Self {
        let Self { folder, server, fxa, .. } = self;
        server.stop();
        let mut environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        environment.push(("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL".to_owned(), fxa.url()));
        let server = folder.start_with(&borrowed(&environment));
        Self { folder, server, fxa, environment }
    }

    /// Runs a command, with the settings that the server has.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        let mut command = self.folder.command(&borrowed(&self.environment));
        // Where it listens, so that the public URL is the same.
        command.env("SYNC_PORT", self.server.addr.port().to_string()).args(arguments);
        run(command)
    }

    /// What a command prints, which has to do well.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    /// What a command says that has to fail.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// The URL of the server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.addr)
    }

    /// A device asks for a token.
    pub(crate) async fn ask(&self, fxa_uid: &str, user_agent: &str) -> Response {
        let jwt = Jwt::access(fxa_uid, 0).without_claim("fxa-generation").claim("fxa-generation", 1_000);
        let key = URL_SAFE_NO_PAD.encode(b"the first key...");
        let request = Request::get("/1.0/sync/1.5")
            .header("Authorization", format_args!("Bearer {}", jwt.sign(&Key::first())))
            .header("X-KeyID", format_args!("1000-{key}"))
            .header("User-Agent", user_agent);
        self.server.connect().await.send(&request).await.unwrap()
    }

    /// A device signs in, which must succeed: its uid, and a client with its token.
    pub(crate) async fn sign_in(&self, fxa_uid: &str) -> (u64, Client) {
        let answer = self.ask(fxa_uid, "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0").await;
        assert_eq!(answer.status, 200, "{answer:?}; the log: {:#?}", self.server.log_lines());
        let answer = answer.json();
        let uid = answer["uid"].as_u64().unwrap();
        let token = Token::from_parts(answer["id"].as_str().unwrap(), answer["key"].as_str().unwrap(), uid);
        (uid, Client { connection: self.server.connect().await, token })
    }

    /// Waits until a command's JSON is as it should be: some things are noted after the answer.
    pub(crate) async fn json_once(&self, arguments: &[&str], is_there: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..100 {
            let found = self.json(arguments);
            if is_there(&found) {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{arguments:?} prints {}", self.done(arguments));
    }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
