//! One user of a database under test, with short calls that fail the case where something goes wrong.

use std::sync::Arc;

use crate::{
    BatchId, Bso, BsoChange, BsoId, BsoQuery, BsoRef, CollectionName, CollectionRef, Cursor, Db, DbError, DbResult,
    Deletion, Patch, Precondition, Stamped, SyncTimestamp, UserId, Written,
};

/// Fails the case unless a value matches a pattern, and shows the value then.
macro_rules! assert_is {
    ($value:expr, $pattern:pat $(if $guard:expr)? $(, $($context:tt)+)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => {
                let context = String::new() $(+ "; " + &format!($($context)+))?;
                panic!("not {}: {other:?}{context}", stringify!($pattern))
            }
        }
    };
}
pub(crate) use assert_is;

/// The name of a collection.
#[must_use]
pub fn name(name: &str) -> CollectionName {
    CollectionName::new(name).unwrap()
}

/// The id of a record.
#[must_use]
pub fn id(id: &str) -> BsoId {
    BsoId::new(id).unwrap()
}

/// A change of the record `id` that says nothing yet.
#[must_use]
pub fn change(id: &str) -> BsoChange {
    BsoChange::new(self::id(id))
}

/// The ids of records, as text.
#[must_use]
pub fn ids_of(bsos: &[Bso]) -> Vec<&str> {
    bsos.iter().map(|bso| bso.id.as_str()).collect()
}

/// Says something of the fields of a change.
pub trait Fields {
    /// Sets the payload.
    #[must_use]
    fn payload(self, payload: impl Into<String>) -> Self;
    /// Sets the sortindex.
    #[must_use]
    fn sortindex(self, sortindex: i32) -> Self;
    /// Sets the ttl, in seconds.
    #[must_use]
    fn ttl(self, ttl: u32) -> Self;
    /// Sets the payload to null.
    #[must_use]
    fn null_payload(self) -> Self;
    /// Sets the sortindex to null.
    #[must_use]
    fn null_sortindex(self) -> Self;
    /// Sets the ttl to null.
    #[must_use]
    fn null_ttl(self) -> Self;
}

impl Fields for BsoChange {
    fn payload(self, payload: impl Into<String>) -> Self {
        Self { payload: Patch::Set(payload.into()), ..self }
    }
    fn sortindex(self, sortindex: i32) -> Self {
        Self { sortindex: Patch::Set(sortindex), ..self }
    }
    fn ttl(self, ttl: u32) -> Self {
        Self { ttl: Patch::Set(ttl), ..self }
    }
    fn null_payload(self) -> Self {
        Self { payload: Patch::Reset, ..self }
    }
    fn null_sortindex(self) -> Self {
        Self { sortindex: Patch::Reset, ..self }
    }
    fn null_ttl(self) -> Self {
        Self { ttl: Patch::Reset, ..self }
    }
}

/// The ways to write one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// [`Db::put_bso`].
    Put,
    /// [`Db::post_bsos`].
    Post,
    /// [`Db::create_batch`] and [`Db::commit_batch`].
    Batch,
}

impl Via {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Put, Self::Post, Self::Batch];
}

/// One page of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The collection's last-modified time.
    pub last_modified: SyncTimestamp,
    /// The records.
    pub bsos: Vec<Bso>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

/// All that a client can see of a user's store, to tell whether anything changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everything {
    /// The collections, by name.
    pub collections: Stamped<Vec<(String, SyncTimestamp)>>,
    /// The numbers of records, by name.
    pub counts: Stamped<Vec<(String, u64)>>,
    /// The bytes of payload, by name.
    pub usage: Stamped<Vec<(String, u64)>>,
    /// The bytes of payload in all.
    pub quota: Stamped<u64>,
    /// The records of each collection.
    pub records: Vec<Page>,
}

/// One user of a database.
#[derive(Clone)]
pub struct TestUser {
    /// The database.
    pub db: Arc<dyn Db>,
    /// Whose store it is.
    pub id: UserId,
}

impl std::fmt::Debug for TestUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user {}", self.id)
    }
}

impl TestUser {
    /// A collection of this user.
    #[must_use]
    pub fn at(&self, collection: &str) -> CollectionRef {
        CollectionRef { user: self.id, collection: name(collection) }
    }

    /// A record of this user.
    #[must_use]
    pub fn bso_at(&self, collection: &str, id: &str) -> BsoRef {
        BsoRef { user: self.id, collection: name(collection), id: self::id(id) }
    }

    /// Writes one record.
    pub async fn put(&self, collection: &str, change: BsoChange) -> SyncTimestamp {
        self.try_put(collection, change, Precondition::None).await.unwrap().modified
    }

    /// Writes one record, if it may.
    pub async fn try_put(&self, collection: &str, change: BsoChange, condition: Precondition) -> DbResult<Written> {
        self.db.put_bso(&self.at(collection), change, condition).await
    }

    /// Writes records.
    pub async fn post(&self, collection: &str, changes: Vec<BsoChange>) -> SyncTimestamp {
        self.try_post(collection, changes, Precondition::None).await.unwrap().modified
    }

    /// Writes records, if it may.
    pub async fn try_post(
        &self,
        collection: &str,
        changes: Vec<BsoChange>,
        condition: Precondition,
    ) -> DbResult<Written> {
        self.db.post_bsos(&self.at(collection), changes, condition).await
    }

    /// Writes one record in the given way.
    pub async fn write(&self, via: Via, collection: &str, change: BsoChange) -> SyncTimestamp {
        self.try_write(via, collection, change).await.unwrap().modified
    }

    /// Writes one record in the given way, if it may.
    pub async fn try_write(&self, via: Via, collection: &str, change: BsoChange) -> DbResult<Written> {
        match via {
            Via::Put => self.try_put(collection, change, Precondition::None).await,
            Via::Post => self.try_post(collection, vec![change], Precondition::None).await,
            Via::Batch => {
                let batch = self.create_batch(collection, vec![change]).await;
                self.try_commit(collection, &batch, Vec::new()).await
            }
        }
    }

    /// A record; `None` where it is not found.
    pub async fn get(&self, collection: &str, id: &str) -> Option<Bso> {
        match self.db.get_bso(&self.bso_at(collection, id), Precondition::None).await {
            Ok(bso) => {
                assert_eq!(bso.id.as_str(), id, "another record than the one asked for");
                Some(bso)
            }
            Err(DbError::NotFound) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// The payload of a record that is there.
    pub async fn payload(&self, collection: &str, id: &str) -> String {
        self.get(collection, id).await.unwrap_or_else(|| panic!("{id:?} is not there")).payload
    }

    /// What `query` selects.
    pub async fn read(&self, collection: &str, query: &BsoQuery) -> Page {
        self.try_read(collection, query, Precondition::None).await.unwrap()
    }

    /// What `query` selects, read both as records and as ids; the two have to agree.
    pub async fn try_read(&self, collection: &str, query: &BsoQuery, condition: Precondition) -> DbResult<Page> {
        let at = self.at(collection);
        let mut bsos = Vec::new();
        let full = self.db.get_bsos(&at, query, condition, &mut bsos).await;
        let mut ids = Vec::new();
        let short = self.db.get_bso_ids(&at, query, condition, &mut ids).await;
        if full.is_err() {
            assert!(bsos.is_empty() && ids.is_empty(), "a refused read hands nothing over");
        }
        assert_eq!(format!("{full:?}"), format!("{short:?}"), "reads of records and of ids go apart");
        assert_eq!(bsos.iter().map(|bso| &bso.id).collect::<Vec<_>>(), ids.iter().collect::<Vec<_>>());
        full.map(|Stamped { last_modified, value }| Page { last_modified, bsos, next: value })
    }

    /// All records of a collection, the oldest first.
    pub async fn all(&self, collection: &str) -> Vec<Bso> {
        self.read(collection, &BsoQuery::default()).await.bsos
    }

    /// All ids of a collection, in the order of their text.
    pub async fn ids(&self, collection: &str) -> Vec<String> {
        let mut ids: Vec<_> = ids_of(&self.all(collection).await).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids
    }

    /// Deletes one record that is there.
    pub async fn delete_bso(&self, collection: &str, id: &str) -> SyncTimestamp {
        self.db.delete_bso(&self.bso_at(collection, id), Precondition::None).await.unwrap().modified
    }

    /// Deletes records in a collection that is there.
    pub async fn delete_bsos(&self, collection: &str, ids: &[&str]) -> SyncTimestamp {
        let ids: Vec<_> = ids.iter().map(|id| self::id(id)).collect();
        done(self.db.delete_bsos(&self.at(collection), &ids, Precondition::None).await).modified
    }

    /// Deletes a collection that is there.
    pub async fn delete_collection(&self, collection: &str) -> SyncTimestamp {
        done(self.db.delete_collection(&self.at(collection), Precondition::None).await).modified
    }

    /// Deletes all.
    pub async fn delete_store(&self) -> SyncTimestamp {
        self.db.delete_store(self.id, Precondition::None).await.unwrap().modified
    }

    /// Opens a batch.
    pub async fn create_batch(&self, collection: &str, changes: Vec<BsoChange>) -> BatchId {
        self.db.create_batch(&self.at(collection), changes, Precondition::None).await.unwrap().value
    }

    /// Adds to a batch.
    pub async fn append(&self, collection: &str, batch: &BatchId, changes: Vec<BsoChange>) {
        self.try_append(collection, batch, changes).await.unwrap();
    }

    /// Adds to a batch, if it may.
    pub async fn try_append(
        &self,
        collection: &str,
        batch: &BatchId,
        changes: Vec<BsoChange>,
    ) -> DbResult<Stamped<()>> {
        self.db.append_to_batch(&self.at(collection), batch, changes, Precondition::None).await
    }

    /// Commits a batch.
    pub async fn commit(&self, collection: &str, batch: &BatchId, changes: Vec<BsoChange>) -> SyncTimestamp {
        self.try_commit(collection, batch, changes).await.unwrap().modified
    }

    /// Commits a batch, if it may.
    pub async fn try_commit(&self, collection: &str, batch: &BatchId, changes: Vec<BsoChange>) -> DbResult<Written> {
        self.db.commit_batch(&self.at(collection), batch, changes, Precondition::None).await
    }

    /// The collections with their times, by name.
    pub async fn collections(&self) -> Vec<(String, SyncTimestamp)> {
        by_name(self.db.info_collections(self.id, Precondition::None).await.unwrap()).value
    }

    /// The last-modified time of a collection; zero where there is none.
    pub async fn collection_time(&self, collection: &str) -> SyncTimestamp {
        let listed = self.collections().await.into_iter().find(|(name, _)| name == collection);
        let listed = listed.map_or(SyncTimestamp::ZERO, |(_, time)| time);
        let read = self.read(collection, &BsoQuery { limit: Some(0), ..BsoQuery::default() }).await.last_modified;
        assert_eq!(listed, read, "the list of collections and a read of {collection} give different times");
        listed
    }

    /// The number of records in each collection, by name.
    pub async fn counts(&self) -> Vec<(String, u64)> {
        by_name(self.db.info_collection_counts(self.id, Precondition::None).await.unwrap()).value
    }

    /// The bytes of payload in each collection, by name.
    pub async fn usage(&self) -> Vec<(String, u64)> {
        by_name(self.db.info_collection_usage(self.id, Precondition::None).await.unwrap()).value
    }

    /// The bytes of payload in all.
    pub async fn bytes(&self) -> u64 {
        self.db.info_quota(self.id, Precondition::None).await.unwrap().value
    }

    /// The last-modified time of the store.
    pub async fn store_time(&self) -> SyncTimestamp {
        self.db.info_collections(self.id, Precondition::None).await.unwrap().last_modified
    }

    /// All that a client can see.
    pub async fn everything(&self) -> Everything {
        let collections = by_name(self.db.info_collections(self.id, Precondition::None).await.unwrap());
        let mut records = Vec::new();
        for (collection, _) in &collections.value {
            records.push(self.read(collection, &BsoQuery::default()).await);
        }
        Everything {
            collections,
            counts: by_name(self.db.info_collection_counts(self.id, Precondition::None).await.unwrap()),
            usage: by_name(self.db.info_collection_usage(self.id, Precondition::None).await.unwrap()),
            quota: self.db.info_quota(self.id, Precondition::None).await.unwrap(),
            records,
        }
    }
}

fn done(deletion: DbResult<Deletion>) -> Written {
    match deletion.unwrap() {
        Deletion::Done(written) => written,
        Deletion::NoCollection(_) => panic!("there is no such collection"),
    }
}

/// The trait names no order for these lists.
pub(super) fn by_name<T>(listed: Stamped<Vec<(CollectionName, T)>>) -> Stamped<Vec<(String, T)>> {
    let mut value: Vec<_> = listed.value.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
    value.sort_by(|(a, _), (b, _)| a.cmp(b));
    Stamped { last_modified: listed.last_modified, value }
}
