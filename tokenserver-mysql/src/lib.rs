//! The tokenserver on MySQL or MariaDB.
//!
//! It works in the tables of syncstorage-rs. Nearly every sign-in changes nothing, and is answered by one read. What
//! changes something of an account is a transaction that begins with the lock of that account, an upsert of a row in a
//! table of ours, which holds also for an account that has no row yet. Where accounts are in each other's way, for a
//! place on a node or under `max_users`, the row of the service is locked as well, always after the account.
//!
//! `utf8mb4_bin` compares letter for letter but takes no notice of spaces at the end. So an account is found by the index
//! over its e-mail and then compared byte for byte.

use std::sync::Arc;

use async_trait::async_trait;
use diesel_async::AsyncMysqlConnection;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use network_engine::{Connection, MysqlEngine};
use syncstorage_db_common::{Fault, PoolStatus, SecretClaim, SecretFingerprint, UserId};
use tokenserver_db_common::{NodeRow, ReplacedRow, SignIn, SignedIn, TokenDb, TokenError};

mod accounts;
mod admin;
mod archive;
mod devices;
mod listing;
mod lock;
mod nodes;
mod purge;
mod service;
mod sign_in;
mod users;

pub use crate::archive::MysqlTokenArchive;

/// A connection of the engine.
type Conn = Connection<AsyncMysqlConnection>;

/// The name of this component in the database.
pub const COMPONENT: &str = "tokenserver";

/// The tables, for [`Engine::open`](network_engine::Engine::open).
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The tokenserver's part of a MySQL or MariaDB database.
pub struct MysqlTokenDb {
    engine: Arc<MysqlEngine>,
}

impl MysqlTokenDb {
    /// Works on a database that was opened with [`COMPONENT`] and [`MIGRATIONS`].
    #[must_use]
    pub const fn new(engine: Arc<MysqlEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl TokenDb for MysqlTokenDb {
    async fn sign_in(&self, request: &SignIn) -> Result<SignedIn, TokenError> {
        sign_in::sign_in(&self.engine, request).await
    }

    async fn retire_user(&self, email: &str, now_ms: i64) -> Result<bool, Fault> {
        users::retire(&self.engine, email, now_ms).await
    }

    async fn password_changed(&self, email: &str, generation: i64) -> Result<bool, Fault> {
        users::raise_generation(&self.engine, email, generation).await
    }

    async fn init_node(&self, url: &str, capacity: u32) -> Result<bool, Fault> {
        nodes::init(&self.engine, url, capacity).await
    }

    async fn nodes(&self) -> Result<Vec<NodeRow>, Fault> {
        nodes::all(&self.engine).await
    }

    async fn replaced_rows(
        &self,
        older_than_ms: i64,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ReplacedRow>, Fault> {
        purge::replaced_rows(&self.engine, older_than_ms, after, limit).await
    }

    async fn forget_row(&self, uid: UserId) -> Result<bool, Fault> {
        purge::forget_row(&self.engine, uid).await
    }

    async fn count_users(&self) -> Result<u64, Fault> {
        users::count(&self.engine).await
    }

    async fn check(&self) -> Result<(), Fault> {
        service::check(&self.engine).await
    }

    fn pool_status(&self) -> PoolStatus {
        self.engine.status()
    }

    async fn claim_secret(
        &self,
        secret: &SecretFingerprint,
        previous: &[SecretFingerprint],
    ) -> Result<SecretClaim, Fault> {
        self.engine.claim_secret(secret, previous).await
    }
}
