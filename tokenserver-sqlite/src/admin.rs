//! What an operator does.

use async_trait::async_trait;
use sqlite_engine::snapshot;
use syncstorage_db_common::{Fault, UserId};
use tokenserver_db_common::{
    AccountEntry, AccountFilter, Agent, DeviceEntry, NodeChange, NodeChanged, NodeName, TokenAdmin, UserEntry,
    UserFilter, Verdict,
};

use crate::{SqliteTokenDb, accounts, devices, listing, nodes, users};

#[async_trait]
impl TokenAdmin for SqliteTokenDb {
    async fn users(&self, filter: &UserFilter, after: Option<UserId>, limit: u32) -> Result<Vec<UserEntry>, Fault> {
        let mut conn = self.engine.reader().await?;
        snapshot(&mut conn, |conn| listing::users(conn, filter, after, limit))
    }

    async fn accounts(
        &self,
        filter: AccountFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AccountEntry>, Fault> {
        let mut conn = self.engine.reader().await?;
        snapshot(&mut conn, |conn| accounts::list(conn, filter, after, limit))
    }

    async fn account(&self, email: &str) -> Result<Option<AccountEntry>, Fault> {
        accounts::find(&mut *self.engine.reader().await?, email)
    }

    async fn set_verdict(&self, email: &str, verdict: Option<Verdict>, now_ms: i64) -> Result<Option<Verdict>, Fault> {
        accounts::set_verdict(&self.engine, email, verdict, now_ms).await
    }

    async fn note_refusal(&self, email: &str, reason: &str, now_ms: i64) -> Result<(), Fault> {
        accounts::note_refusal(&self.engine, email, reason, now_ms).await
    }

    async fn note_device(&self, uid: UserId, agent: &Agent, now_ms: i64) -> Result<(), Fault> {
        devices::note(&self.engine, uid, agent, now_ms).await
    }

    async fn devices(&self, uid: UserId) -> Result<Vec<DeviceEntry>, Fault> {
        devices::list(&mut *self.engine.reader().await?, uid)
    }

    async fn replace_user(&self, email: &str, now_ms: i64) -> Result<u64, Fault> {
        users::replace(&self.engine, email, now_ms).await
    }

    async fn set_node(&self, node: &NodeName, change: &NodeChange) -> Result<NodeChanged, Fault> {
        nodes::set(&self.engine, node, change).await
    }

    async fn replace_users_of_node(&self, nodeid: i64, now_ms: i64) -> Result<u64, Fault> {
        users::replace_on_node(&self.engine, nodeid, now_ms).await
    }

    async fn users_of_nodes(&self) -> Result<Vec<(i64, u64)>, Fault> {
        let mut conn = self.engine.reader().await?;
        snapshot(&mut conn, users::on_nodes)
    }
}
