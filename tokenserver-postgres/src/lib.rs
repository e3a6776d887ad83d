//! The tokenserver on Postgres, in the tables that other servers of the protocol have there.
//!
//! A sign-in that changes nothing is one question to the database. One that changes something is decided anew in a
//! transaction, under a lock on the account; where users are counted or a place on a node is given away, those who do
//! that follow each other as well.

use std::sync::Arc;

use async_trait::async_trait;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use network_engine::PostgresEngine;
use syncstorage_db_common::{Fault, PoolStatus, SecretClaim, SecretFingerprint, UserId};
use tokenserver_db_common::{NodeRow, ReplacedRow, SignIn, SignedIn, TokenDb, TokenError};

mod accounts;
mod admin;
mod archive;
mod devices;
mod listing;
mod nodes;
mod purge;
mod service;
mod sign_in;
mod users;

pub use crate::archive::PostgresTokenArchive;

/// The name of this component in the database.
pub const COMPONENT: &str = "tokenserver";

/// The tables, for [`Engine::open`](network_engine::Engine::open).
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The tokenserver in one Postgres database.
pub struct PostgresTokenDb {
    engine: Arc<PostgresEngine>,
}

impl PostgresTokenDb {
    /// Of an engine that was opened with [`COMPONENT`] and [`MIGRATIONS`].
    #[must_use]
    pub const fn new(engine: Arc<PostgresEngine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl TokenDb for PostgresTokenDb {
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
        users::count_all(&self.engine).await
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
