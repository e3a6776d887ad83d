//! A storage that is a server at the other end of a socket.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncserver::web::query::MAX_IDS;
use syncstorage_db_common::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbError, DbOptions,
    DbResult, Deletion, Fault, PoolStatus, Precondition, PurgeBudget, Purged, Quota, SecretClaim, SecretFingerprint,
    Sink, Stamped, SyncTimestamp, UserId, Written,
};
use syncstorage_sqlite::SqliteDb;
use testclient::{Connection, Request, Response, Token};

use crate::server::{SECRET, TestServer};
use crate::text::{bso, encoded, encoded_list, number_as_time, parameters, parsed, record, seconds, stamped, time};

/// A token that outlives every clock of the suite.
const FAR_FUTURE: u64 = 99_999_999_999;

/// See the [module documentation](self).
pub struct WireDb {
    addr: SocketAddr,
    /// Connections that nobody uses at the moment.
    idle: Mutex<Vec<Connection>>,
    /// For what a client cannot ask.
    behind: Arc<dyn Db>,
    unclaimed: SqliteDb,
    quota: Option<Quota>,
}

impl WireDb {
    pub fn new(server: &TestServer, quota: Option<Quota>) -> Self {
        let behind = server.storage.clone().unwrap();
        let engine = SqliteEngine::open(&SqliteLocation::Temporary, EngineOptions::default(), Vec::new()).unwrap();
        let unclaimed = SqliteDb::new(engine, DbOptions::default());
        Self { addr: server.addr, idle: Mutex::default(), behind, unclaimed, quota }
    }

    /// Sends a request of `user`, its target behind `/1.5/<uid>`; a refusal becomes the error that it stands for.
    async fn send(
        &self,
        user: UserId,
        method: &str,
        target: &str,
        condition: Precondition,
        body: Option<Value>,
    ) -> DbResult<Response> {
        let token = Token::builder(SECRET, user.get().unsigned_abs()).expires(FAR_FUTURE).build();
        let mut request = Request::new(method, token.path(target)).auth(&token);
        request = match condition {
            Precondition::None => request,
            Precondition::ModifiedSince(bound) => request.header("X-If-Modified-Since", seconds(bound)),
            Precondition::UnmodifiedSince(bound) => request.header("X-If-Unmodified-Since", seconds(bound)),
        };
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::connect(self.addr).await.unwrap(),
        };
        let response = connection.send(&request).await.unwrap();
        if !connection.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        judge(response, target)
    }

    async fn get(&self, user: UserId, target: &str, condition: Precondition) -> DbResult<Response> {
        self.send(user, "GET", target, condition, None).await
    }

    async fn figures<T>(
        &self,
        user: UserId,
        target: &str,
        condition: Precondition,
        value: impl Fn(&Value) -> T,
    ) -> DbResult<Stamped<Vec<(CollectionName, T)>>> {
        let response = self.get(user, target, condition).await?;
        let object: Map<String, Value> = serde_json::from_str(response.text()).unwrap();
        assert_eq!(response.header("X-Weave-Records"), Some(object.len().to_string().as_str()));
        let list = object.iter().map(|(name, figure)| (CollectionName::new(name).unwrap(), value(figure))).collect();
        Ok(stamped(&response, list))
    }

    async fn list(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        full: bool,
        condition: Precondition,
    ) -> DbResult<(Stamped<Option<Cursor>>, Vec<Value>)> {
        let mut text = parameters(query, full);
        if let Some(after) = &query.after {
            let offset = parsed(&text, &at.collection).offset(after);
            text.push_str(&format!("&offset={offset}"));
        }
        let target = format!("/storage/{}?{text}", at.collection);
        let response = self.get(at.user, &target, condition).await?;
        let items: Vec<Value> = serde_json::from_str(response.text()).unwrap();
        assert_eq!(response.header("X-Weave-Records"), Some(items.len().to_string().as_str()));
        let next = response.header("X-Weave-Next-Offset").map(|offset| {
            let again = format!("{}&offset={offset}", parameters(query, full));
            parsed(&again, &at.collection).query.after.unwrap()
        });
        Ok((stamped(&response, next), items))
    }

    async fn post(
        &self,
        at: &CollectionRef,
        parameters: &str,
        changes: &[BsoChange],
        condition: Precondition,
    ) -> DbResult<Response> {
        let body = changes.iter().map(record).collect();
        let target = format!("/storage/{}{parameters}", at.collection);
        let response = self.send(at.user, "POST", &target, condition, Some(body)).await?;
        let answer = response.json();
        let ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
        assert_eq!((&answer["success"], &answer["failed"]), (&json!(ids), &json!({})));
        Ok(response)
    }

    fn written(&self, response: &Response) -> Written {
        let modified = time(response.header("X-Last-Modified").unwrap());
        assert_eq!(response.header("X-Weave-Timestamp"), response.header("X-Last-Modified"));
        let left = response.header("X-Weave-Quota-Remaining").map(|kb| (kb.parse::<f64>().unwrap() * 1024.0) as u64);
        assert_eq!(left.is_some(), self.quota.is_some());
        Written { modified, quota_left: left }
    }

    async fn deletion(&self, at: &CollectionRef, target: &str, condition: Precondition) -> DbResult<Deletion> {
        let before = self.behind.info_collections(at.user, Precondition::None).await?;
        let is_there = before.value.iter().any(|(name, _)| *name == at.collection);
        let response = self.send(at.user, "DELETE", target, condition, None).await?;
        let modified = response.header("X-Last-Modified").unwrap();
        assert_eq!(response.text(), format!("{{\"modified\":{modified}}}"));
        Ok(if is_there { Deletion::Done(self.written(&response)) } else { Deletion::NoCollection(time(modified)) })
    }
}

/// The wire takes a hundred ids at once, and takes commas for what is between them.
fn is_for_the_wire(ids: &[BsoId]) -> bool {
    ids.len() <= MAX_IDS && !ids.iter().any(|id| id.as_str().contains(','))
}

/// Over the wire `X-If-Modified-Since` is about reads alone.
fn is_for_reads(condition: Precondition) -> bool {
    matches!(condition, Precondition::ModifiedSince(_))
}

fn judge(response: Response, target: &str) -> DbResult<Response> {
    let last_modified = || time(response.header("X-Last-Modified").unwrap());
    Err(match (response.status, response.text()) {
        (200 | 202, _) => return Ok(response),
        (304, "") => DbError::NotModified(last_modified()),
        (412, "0") => DbError::PreconditionFailed(last_modified()),
        (404, "0") => DbError::NotFound,
        (400, "0") if target.contains("batch=") => DbError::BatchNotFound,
        (400, "17") => DbError::BatchTooLarge,
        (403, "14") => DbError::OverQuota,
        (503, "0") if response.header("Retry-After").is_some() => Fault::unavailable("503").into(),
        (status, body) => panic!("{target}: {status} {body}"),
    })
}

#[async_trait]
impl Db for WireDb {
    async fn info_collections(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, SyncTimestamp)>>> {
        self.figures(user, "/info/collections", condition, number_as_time).await
    }

    async fn info_collection_counts(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        self.figures(user, "/info/collection_counts", condition, |count| count.as_u64().unwrap()).await
    }

    async fn info_collection_usage(
        &self,
        user: UserId,
        condition: Precondition,
    ) -> DbResult<Stamped<Vec<(CollectionName, u64)>>> {
        let bytes = |kb: &Value| (kb.as_f64().unwrap() * 1024.0) as u64;
        self.figures(user, "/info/collection_usage", condition, bytes).await
    }

    async fn info_quota(&self, user: UserId, condition: Precondition) -> DbResult<Stamped<u64>> {
        let response = self.get(user, "/info/quota", condition).await?;
        let answer = response.json();
        let limit = self.quota.filter(|quota| quota.enforce).map(|quota| quota.limit as f64 / 1024.0);
        assert_eq!(answer[1], json!(limit));
        Ok(stamped(&response, (answer[0].as_f64().unwrap() * 1024.0) as u64))
    }

    async fn get_bsos(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<Bso>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        if !query.ids.as_deref().is_none_or(is_for_the_wire) {
            return self.behind.get_bsos(at, query, condition, sink).await;
        }
        let (page, items) = self.list(at, query, true, condition).await?;
        items.iter().try_for_each(|item| sink.push(bso(item))).map_err(DbError::Output)?;
        Ok(page)
    }

    async fn get_bso_ids(
        &self,
        at: &CollectionRef,
        query: &BsoQuery,
        condition: Precondition,
        sink: &mut dyn Sink<BsoId>,
    ) -> DbResult<Stamped<Option<Cursor>>> {
        if !query.ids.as_deref().is_none_or(is_for_the_wire) {
            return self.behind.get_bso_ids(at, query, condition, sink).await;
        }
        let (page, items) = self.list(at, query, false, condition).await?;
        let id = |item: &Value| BsoId::new(item.as_str().unwrap()).unwrap();
        items.iter().try_for_each(|item| sink.push(id(item))).map_err(DbError::Output)?;
        Ok(page)
    }

    async fn get_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Bso> {
        let target = format!("/storage/{}/{}", at.collection, encoded(at.id.as_str()));
        let response = self.get(at.user, &target, condition).await?;
        let bso = bso(&response.json());
        assert_eq!(response.header("X-Last-Modified"), Some(bso.modified.to_string().as_str()));
        Ok(bso)
    }

    async fn put_bso(&self, at: &CollectionRef, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        if is_for_reads(condition) {
            return self.behind.put_bso(at, change, condition).await;
        }
        let target = format!("/storage/{}/{}", at.collection, encoded(change.id.as_str()));
        let response = self.send(at.user, "PUT", &target, condition, Some(record(&change))).await?;
        let written = self.written(&response);
        assert_eq!(response.text(), written.modified.to_string());
        Ok(written)
    }

    async fn post_bsos(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        if is_for_reads(condition) {
            return self.behind.post_bsos(at, changes, condition).await;
        }
        let response = self.post(at, "", &changes, condition).await?;
        assert!(
            response.text().starts_with(&format!("{{\"modified\":{},", response.header("X-Last-Modified").unwrap()))
        );
        Ok(self.written(&response))
    }

    async fn delete_bso(&self, at: &BsoRef, condition: Precondition) -> DbResult<Written> {
        if is_for_reads(condition) {
            return self.behind.delete_bso(at, condition).await;
        }
        let target = format!("/storage/{}/{}", at.collection, encoded(at.id.as_str()));
        let response = self.send(at.user, "DELETE", &target, condition, None).await?;
        Ok(self.written(&response))
    }

    async fn delete_bsos(&self, at: &CollectionRef, ids: &[BsoId], condition: Precondition) -> DbResult<Deletion> {
        if is_for_reads(condition) || !is_for_the_wire(ids) {
            return self.behind.delete_bsos(at, ids, condition).await;
        }
        self.deletion(at, &format!("/storage/{}?ids={}", at.collection, encoded_list(ids)), condition).await
    }

    async fn delete_collection(&self, at: &CollectionRef, condition: Precondition) -> DbResult<Deletion> {
        if is_for_reads(condition) {
            return self.behind.delete_collection(at, condition).await;
        }
        self.deletion(at, &format!("/storage/{}", at.collection), condition).await
    }

    async fn delete_store(&self, user: UserId, condition: Precondition) -> DbResult<Written> {
        if is_for_reads(condition) {
            return self.behind.delete_store(user, condition).await;
        }
        let response = self.send(user, "DELETE", "/storage", condition, None).await?;
        assert_eq!(response.text(), "{}");
        Ok(self.written(&response))
    }

    async fn create_batch(
        &self,
        at: &CollectionRef,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<BatchId>> {
        if is_for_reads(condition) {
            return self.behind.create_batch(at, changes, condition).await;
        }
        let response = self.post(at, "?batch=true", &changes, condition).await?;
        assert_eq!(response.status, 202);
        Ok(stamped(&response, BatchId(response.json()["batch"].as_str().unwrap().to_owned())))
    }

    async fn append_to_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Stamped<()>> {
        // "true" is no batch's id over the wire, but a wish for a new one.
        if is_for_reads(condition) || batch.0 == "true" {
            return self.behind.append_to_batch(at, batch, changes, condition).await;
        }
        let response = self.post(at, &format!("?batch={}", encoded(&batch.0)), &changes, condition).await?;
        assert_eq!((response.status, response.json()["batch"].as_str()), (202, Some(batch.0.as_str())));
        Ok(stamped(&response, ()))
    }

    async fn commit_batch(
        &self,
        at: &CollectionRef,
        batch: &BatchId,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        if is_for_reads(condition) || batch.0 == "true" {
            return self.behind.commit_batch(at, batch, changes, condition).await;
        }
        let response = self.post(at, &format!("?batch={}&commit=true", encoded(&batch.0)), &changes, condition).await?;
        assert_eq!((response.status, response.json().get("batch")), (200, None));
        Ok(self.written(&response))
    }

    async fn purge(&self, budget: PurgeBudget) -> DbResult<Purged> {
        self.behind.purge(budget).await
    }

    async fn check(&self) -> DbResult<()> {
        self.behind.check().await
    }

    fn pool_status(&self) -> PoolStatus {
        self.behind.pool_status()
    }

    async fn claim_secret(&self, secret: &SecretFingerprint, previous: &[SecretFingerprint]) -> DbResult<SecretClaim> {
        // The server has claimed its own database at its start.
        self.unclaimed.claim_secret(secret, previous).await
    }
}
