//! What every request handler has at hand.

use std::sync::Arc;

use slog::Logger;
use syncstorage_db_common::{Clock, Db, Quota};

use crate::settings::{Limits, PublicUrl};
use crate::token::TokenKeys;
use crate::tokenserver::Tokenserver;
use crate::web::hawk::SignedHost;

/// Shared by all workers.
pub struct AppState {
    /// The storage.
    pub db: Arc<dyn Db>,
    /// The tokenserver, if it is on.
    pub tokens: Option<Tokenserver>,
    /// The keys of the master secret.
    pub token_keys: TokenKeys,
    /// Where clients reach this server.
    pub public_url: PublicUrl,
    /// Which host and port clients sign.
    pub signed_host: SignedHost,
    /// What requests may hold.
    pub limits: Limits,
    /// `None`: no quota.
    pub quota: Option<Quota>,
    /// The time.
    pub clock: Clock,
    /// The log.
    pub log: Logger,
}
