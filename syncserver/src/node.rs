//! Other storage nodes, as this server speaks to them: with a token that it makes for itself.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use actix_web::http::Method;
use hawk::{Credentials, Key, RequestBuilder, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use syncstorage_db_common::{BoxedError, Clock, Db, DbError, Fault, Precondition, UserId};
use tokenserver_db_common::Node;

use crate::causes::chain;
use crate::detached;
use crate::hex::hex;
use crate::settings::BaseUrl;
use crate::token::{MintedToken, TokenKeys, TokenPayload};

/// How long a token for one deletion is good, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// How long to wait for another node.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Deletes storage on other nodes.
pub(crate) struct Nodes {
    /// The keys that all nodes have; `None`: they are not known.
    pub(crate) token_keys: Option<Arc<TokenKeys>>,
    /// The time that the tokens are made at.
    pub(crate) clock: Clock,
}

/// Why the storage of a user is still there.
#[derive(Debug)]
pub(crate) struct NotDeleted {
    /// For the operator.
    pub(crate) reason: String,
    /// Whether it may be different with another user of the same node.
    pub(crate) node_answers: bool,
}

impl From<DbError> for NotDeleted {
    fn from(error: DbError) -> Self {
        Self { reason: chain(&error), node_answers: !matches!(error, DbError::Fault(Fault::Unavailable(_))) }
    }
}

/// The URL of a node; `public_url`: of this server's own storage.
pub(crate) fn url<'a>(node: &'a Node, public_url: &'a str) -> &'a str {
    match node {
        Node::PublicUrl => public_url,
        Node::Url(url) => url,
    }
}

impl Nodes {
    /// Deletes all that a user has, as a client's own DELETE does: in `here` if that is where it is, else by asking the
    /// node. `None`: on a node that is gone, and the data is gone with it.
    pub(crate) async fn delete_storage(
        &self,
        here: &dyn Db,
        public_url: &str,
        uid: UserId,
        node: Option<&Node>,
    ) -> Result<(), NotDeleted> {
        let Some(node) = node.map(|node| url(node, public_url)) else { return Ok(()) };
        if node == public_url {
            here.delete_store(uid, Precondition::None).await?;
            return Ok(());
        }
        match self.delete_store(node, uid).await {
            Ok(200..300) => Ok(()),
            // Not even 404 means that there is nothing: a node answers 200 then, and who does not know the path is no
            // node.
            Ok(status) => {
                Err(NotDeleted { reason: format!("it answered {status}"), node_answers: !matches!(status, 502..=504) })
            }
            Err(silence) => Err(NotDeleted { reason: chain(&*silence), node_answers: false }),
        }
    }

    /// Asks the node at `node` to delete all that a user has there; the status of its answer. 2xx: it is gone.
    pub(crate) async fn delete_store(&self, node: &str, uid: UserId) -> Result<u16, BoxedError> {
        let uid = uid.get();
        let url = format!("{node}/1.5/{uid}");
        let payload = TokenPayload {
            uid,
            node: node.to_owned(),
            expires: (self.clock.now_ms() / 1000 + TOKEN_SECONDS) as f64,
            ..TokenPayload::default()
        };
        let keys = self.token_keys.as_ref().ok_or(
            "another node is asked with a token, which takes the master secret that all nodes have, and none is set \
             (setting: master_secret; SYNC_MASTER_SECRET)",
        )?;
        let token = keys.mint(payload).ok_or("the system has no random numbers")?;
        let header = authorization(
            &token,
            Method::DELETE.as_str(),
            &node.parse()?,
            &format!("/1.5/{uid}"),
            self.clock.now_ms(),
        )?;
        let status = detached::run(move || {
            let agent = ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                .http_status_as_error(false)
                .build()
                .new_agent();
            agent.delete(&url).header("Authorization", header).call().map(|answer| answer.status().as_u16())
        })
        .await??;
        Ok(status)
    }
}

/// The header `Authorization` of a request that is signed with a token. `path`: with its query, below that of `base`.
/// `now_ms`: since the epoch.
pub(crate) fn authorization(
    token: &MintedToken,
    method: &str,
    base: &BaseUrl,
    path: &str,
    now_ms: i64,
) -> Result<String, BoxedError> {
    let path = format!("{}{path}", base.path);
    let credentials = Credentials { id: token.id.clone(), key: Key::new(token.key.as_bytes(), SHA256)? };
    let now = UNIX_EPOCH + Duration::from_millis(now_ms.unsigned_abs());
    let mut nonce = [0; 8];
    SystemRandom::new().fill(&mut nonce).map_err(|_| "the system has no random numbers")?;
    let request = RequestBuilder::new(method, &base.host, base.port, &path).request();
    Ok(format!("Hawk {}", request.make_header_full(&credentials, now, hex(&nonce))?))
}
