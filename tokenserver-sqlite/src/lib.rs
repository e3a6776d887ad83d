//! The tokenserver on SQLite.
//!
//! It lives in the file of a [`SqliteEngine`], which it shares with the storage, with its writer and its readers.

use std::sync::Arc;

use async_trait::async_trait;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use sqlite_engine::SqliteEngine;
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

pub use crate::archive::{SqliteTokenArchive, SqliteTokenSource};

/// The name of this component of the file, for [`SqliteEngine::open`].
pub const COMPONENT: &str = "tokenserver";

/// The tables, for [`SqliteEngine::open`].
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// The tokenserver's part of a SQLite file.
pub struct SqliteTokenDb {
    engine: Arc<SqliteEngine>,
}

impl SqliteTokenDb {
    /// Works on a file that was opened with [`COMPONENT`] and [`MIGRATIONS`].
    #[must_use]
    pub const fn new(engine: Arc<SqliteEngine>) -> Self {
        Self { engine }
    }
}

/// Everything that writes is one job of the engine's writer, alone in the file for that time, whatever other processes
/// have it open: so that the promises of the trait about what happens at once hold by themselves.
#[async_trait]
impl TokenDb for SqliteTokenDb {
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
        let mut conn = self.engine.reader().await?;
        sqlite_engine::snapshot(&mut conn, |conn| {
            let service = service::load(conn)?;
            nodes::load(conn, service.id)
        })
    }

    async fn replaced_rows(
        &self,
        older_than_ms: i64,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<ReplacedRow>, Fault> {
        let mut conn = self.engine.reader().await?;
        sqlite_engine::snapshot(&mut conn, |conn| purge::replaced_rows(conn, older_than_ms, after, limit))
    }

    async fn forget_row(&self, uid: UserId) -> Result<bool, Fault> {
        purge::forget_row(&self.engine, uid).await
    }

    async fn count_users(&self) -> Result<u64, Fault> {
        let mut conn = self.engine.reader().await?;
        sqlite_engine::snapshot(&mut conn, |conn| {
            let service = service::load(conn)?;
            users::count(conn, service.id)
        })
    }

    async fn check(&self) -> Result<(), Fault> {
        let mut conn = self.engine.reader().await?;
        service::load(&mut conn)?;
        drop(conn);
        self.engine.check().await
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
