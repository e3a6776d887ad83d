//! The removal of what nobody needs any more, in the background.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::Method;
use hawk::{Credentials, Key, RequestBuilder, SHA256};
use syncstorage_db_common::{BoxedError, Fault, Precondition, PurgeBudget};
use tokenserver_db_common::{Node, ReplacedRow};

use crate::state::AppState;
use crate::token::TokenPayload;
use crate::tokenserver::Tokenserver;

/// How much is removed at once.
const BUDGET: PurgeBudget = PurgeBudget { rows: 1000 };

/// The pause between two removals, for the requests that wait.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the storage of a replaced user is kept, in ms: a device that was away may still finish a sync.
const GRACE_MS: i64 = 24 * 60 * 60 * 1000;

/// How many replaced users are looked at in one go.
const ROWS: u32 = 100;

/// How long a token for one deletion is good, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// How long to wait for another node.
const NODE_TIMEOUT: Duration = Duration::from_secs(60);

/// Purges again and again.
pub(crate) async fn every(interval: Duration, state: Arc<AppState>) {
    loop {
        tokio::time::sleep(interval).await;
        once(&state).await;
    }
}

/// Purges all that there is to purge.
async fn once(state: &AppState) {
    let (mut bsos, mut batches) = (0, 0);
    loop {
        match state.db.purge(BUDGET).await {
            Ok(purged) => {
                bsos += purged.bsos;
                batches += purged.batches;
                if !purged.more {
                    break;
                }
            }
            Err(error) => {
                slog::warn!(state.log, "the purge of expired records failed"; "reason" => error.to_string());
                break;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    let users = match &state.tokens {
        Some(tokens) => replaced_users(state, tokens).await.unwrap_or_else(|error| {
            slog::warn!(state.log, "the purge of replaced users failed"; "reason" => error.to_string());
            0
        }),
        None => 0,
    };
    if bsos + batches + users > 0 {
        slog::info!(state.log, "purged"; "bsos" => bsos, "batches" => batches, "users" => users);
    }
}

/// Deletes the storage of users that were replaced, and then their rows. A node that does not answer keeps its rows.
async fn replaced_users(state: &AppState, tokens: &Tokenserver) -> Result<u64, Fault> {
    let mut done = 0;
    let mut after = None;
    loop {
        let rows = tokens.db.replaced_rows(state.clock.now_ms() - GRACE_MS, after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(done) };
        after = Some(last.uid);
        for row in rows {
            match delete_storage(state, &row).await {
                Ok(()) => done += u64::from(tokens.db.forget_row(row.uid).await?),
                Err(error) => {
                    slog::warn!(state.log, "the storage of a replaced user could not be deleted, and is tried again later";
                        "uid" => row.uid.get(), "reason" => error.to_string());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn delete_storage(state: &AppState, row: &ReplacedRow) -> Result<(), BoxedError> {
    let own = state.public_url.to_string();
    match &row.node {
        // The node is gone, and the data with it.
        None => Ok(()),
        Some(Node::PublicUrl) => Ok(state.db.delete_store(row.uid, Precondition::None).await.map(drop)?),
        Some(Node::Url(url)) if *url == own => {
            Ok(state.db.delete_store(row.uid, Precondition::None).await.map(drop)?)
        }
        Some(Node::Url(url)) => delete_on_node(state, url, row).await,
    }
}

/// Asks another node, with a token made for the purpose.
async fn delete_on_node(state: &AppState, node: &str, row: &ReplacedRow) -> Result<(), BoxedError> {
    let uid = row.uid.get();
    let url = format!("{}/1.5/{uid}", node.trim_end_matches('/'));
    let payload = TokenPayload {
        uid,
        node: node.to_owned(),
        expires: (state.clock.now_ms() / 1000 + TOKEN_SECONDS) as f64,
        ..TokenPayload::default()
    };
    let token = state.token_keys.mint(payload).ok_or("the system has no random numbers")?;
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
    let status = tokio::task::spawn_blocking(move || {
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
    // A node that knows nothing of the user has nothing to delete.
    if (200..300).contains(&status) || status == 404 { Ok(()) } else { Err(format!("{node} answered {status}").into()) }
}
