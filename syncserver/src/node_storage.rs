//! Deletes the storage of users, wherever it is: here, or on another node, which is asked with a token made for it.

use std::time::{Duration, SystemTime};

use actix_web::http::Method;
use hawk::{Credentials, Key, RequestBuilder, SHA256};
use syncstorage_db_common::{BoxedError, Clock, Db, DbError, Fault, Precondition, UserId};
use tokenserver_db_common::Node;

use crate::causes::chain;
use crate::detached;
use crate::token::{TokenKeys, TokenPayload};

/// How long a token for one deletion is good, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// How long to wait for another node.
const NODE_TIMEOUT: Duration = Duration::from_secs(60);

/// The storage here and on other nodes.
pub(crate) struct NodeStorage<'a> {
    /// The storage here.
    pub(crate) db: &'a dyn Db,
    /// What signs tokens for other nodes; `None`: they cannot be asked.
    pub(crate) token_keys: Option<&'a TokenKeys>,
    /// The URL of the storage here.
    pub(crate) public_url: String,
    /// The time, for tokens.
    pub(crate) clock: &'a Clock,
}

/// Why the storage of a user is still there.
#[derive(Debug)]
pub(crate) struct NotDeleted {
    /// For the log.
    pub(crate) reason: String,
    /// Whether it may be different with another user of the same node.
    pub(crate) node_answers: bool,
}

impl NotDeleted {
    fn by_silence(error: &BoxedError) -> Self {
        Self { reason: chain(&**error), node_answers: false }
    }
}

impl From<DbError> for NotDeleted {
    fn from(error: DbError) -> Self {
        Self { reason: chain(&error), node_answers: !matches!(error, DbError::Fault(Fault::Unavailable(_))) }
    }
}

impl NodeStorage<'_> {
    /// The URL of a node.
    pub(crate) fn url(&self, node: &Node) -> String {
        match node {
            Node::PublicUrl => self.public_url.clone(),
            Node::Url(url) => url.clone(),
        }
    }

    /// Whether a node is this server's own storage.
    pub(crate) fn is_here(&self, node: &Node) -> bool {
        self.url(node) == self.public_url
    }

    /// Deletes all that a user has, as a client's own `DELETE` does. `None`: on a node that is gone, and the data is gone
    /// with it.
    pub(crate) async fn delete(&self, uid: UserId, node: Option<&Node>) -> Result<(), NotDeleted> {
        let Some(node) = node else { return Ok(()) };
        if self.is_here(node) {
            self.db.delete_store(uid, Precondition::None).await?;
            return Ok(());
        }
        let status = self.delete_on_node(&self.url(node), uid).await.map_err(|error| NotDeleted::by_silence(&error))?;
        match status {
            200..300 => Ok(()),
            // Not even 404 means that there is nothing: a node answers 200 then, and who does not know the path is no node.
            _ => {
                Err(NotDeleted { reason: format!("it answered {status}"), node_answers: !matches!(status, 502..=504) })
            }
        }
    }

    /// Asks another node, with a token made for the purpose; the status of its answer.
    async fn delete_on_node(&self, node: &str, uid: UserId) -> Result<u16, BoxedError> {
        let keys = self.token_keys.ok_or(
            "another node is only asked with the master secret, and none is known here (settings: master_secret, \
             data_dir)",
        )?;
        let url = format!("{}/1.5/{uid}", node.trim_end_matches('/'));
        let payload = TokenPayload {
            uid: uid.get(),
            node: node.to_owned(),
            expires: (self.clock.now_ms() / 1000 + TOKEN_SECONDS) as f64,
            ..TokenPayload::default()
        };
        let token = keys.mint(payload).ok_or("the system has no random numbers")?;
        let base: crate::settings::BaseUrl = node.parse()?;
        let path = format!("{}/1.5/{uid}", base.path);
        let credentials = Credentials { id: token.id, key: Key::new(token.key.as_bytes(), SHA256)? };
        let nonce = format!("{:?}", SystemTime::now());
        let header =
            RequestBuilder::new(Method::DELETE.as_str(), &base.host, base.port, &path).request().make_header_full(
                &credentials,
                SystemTime::now(),
                nonce.chars().filter(char::is_ascii_digit).collect::<String>(),
            )?;
        let status = detached::run(move || {
            let agent = ureq::Agent::config_builder()
                .timeout_global(Some(NODE_TIMEOUT))
                .http_status_as_error(false)
                .build()
                .new_agent();
            agent
                .delete(&url)
                .header("Authorization", format!("Hawk {header}"))
                .call()
                .map(|answer| answer.status().as_u16())
        })
        .await??;
        Ok(status)
    }
}
