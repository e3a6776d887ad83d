//! The requests that this server makes itself.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::detached;

/// The most bytes of an answer that are looked at.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// A client of the accounts server.
#[derive(Clone)]
pub(super) struct HttpClient {
    agent: Agent,
}

/// The other side did not answer, or not in a way that can be read.
#[derive(Debug, thiserror::Error)]
#[error("{url} does not answer as it should: {reason}")]
pub(super) struct NoAnswer {
    url: String,
    reason: String,
}

impl HttpClient {
    /// `timeout`: for a whole request.
    pub(super) fn new(timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .user_agent(concat!("syncserver/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent }
    }

    /// The status and the JSON body of a GET; null where the body is no JSON.
    pub(super) async fn get(&self, url: String) -> Result<(u16, Value), NoAnswer> {
        let agent = self.agent.clone();
        self.run(url, (), move |url| agent.get(url).call()).await
    }

    /// The same of a POST of a JSON body. `held` goes when the request is over, not when nobody waits for it any more.
    pub(super) async fn post(
        &self,
        url: String,
        body: Value,
        held: impl Send + 'static,
    ) -> Result<(u16, Value), NoAnswer> {
        let agent = self.agent.clone();
        self.run(url, held, move |url| {
            agent.post(url).header("Content-Type", "application/json").send(body.to_string().as_bytes())
        })
        .await
    }

    /// Requests are few at a time; a thread each is no matter.
    async fn run<H, F>(&self, url: String, held: H, request: F) -> Result<(u16, Value), NoAnswer>
    where
        H: Send + 'static,
        F: FnOnce(&str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
    {
        let name = url.clone();
        let failed = |reason: String| NoAnswer { url: name, reason };
        let answer = detached::run(move || {
            let _held = held;
            let mut response = request(&url)?;
            let status = response.status().as_u16();
            let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
            Ok::<_, ureq::Error>((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        });
        match answer.await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
