//! What one user has, and the rules of partial updates and expiry.

use std::collections::BTreeMap;

use crate::{Bso, BsoChange, BsoId, CollectionName, SyncTimestamp, expiry};

/// The store of one user.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    /// When anything of it was last written or deleted. It outlives all else.
    pub(super) last_modified: SyncTimestamp,
    collections: BTreeMap<CollectionName, Collection>,
}

#[derive(Clone, Debug, Default)]
struct Collection {
    last_modified: SyncTimestamp,
    records: Vec<Record>,
}

#[derive(Clone, Debug)]
struct Record {
    bso: Bso,
    /// The millisecond from which it is absent; `None`: it stays.
    expires_ms: Option<i64>,
}

impl Record {
    fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
    }
}

impl Store {
    pub(super) fn has(&self, collection: &CollectionName) -> bool {
        self.collections.contains_key(collection)
    }

    /// When the collection was last modified; zero where there is none.
    pub(super) fn collection_time(&self, collection: &CollectionName) -> SyncTimestamp {
        self.collections.get(collection).map_or(SyncTimestamp::ZERO, |found| found.last_modified)
    }

    pub(super) fn collection_times(&self) -> Vec<(CollectionName, SyncTimestamp)> {
        self.collections.iter().map(|(name, collection)| (name.clone(), collection.last_modified)).collect()
    }

    /// The unexpired records of a collection.
    pub(super) fn visible(&self, collection: &CollectionName, now_ms: i64) -> Vec<Bso> {
        let Some(collection) = self.collections.get(collection) else { return Vec::new() };
        collection.records.iter().filter(|record| !record.is_expired(now_ms)).map(|record| record.bso.clone()).collect()
    }

    pub(super) fn bso(&self, collection: &CollectionName, id: &BsoId, now_ms: i64) -> Option<Bso> {
        self.visible(collection, now_ms).into_iter().find(|bso| bso.id == *id)
    }

    /// When the record was last modified; zero where there is none.
    pub(super) fn bso_time(&self, collection: &CollectionName, id: &BsoId, now_ms: i64) -> SyncTimestamp {
        self.bso(collection, id, now_ms).map_or(SyncTimestamp::ZERO, |bso| bso.modified)
    }

    /// The number of records in each collection that has any.
    pub(super) fn counts(&self, now_ms: i64) -> Vec<(CollectionName, u64)> {
        self.with_records(now_ms).map(|(name, bsos)| (name, bsos.len() as u64)).collect()
    }

    /// The bytes of payload in each collection that has any record.
    pub(super) fn usage(&self, now_ms: i64) -> Vec<(CollectionName, u64)> {
        self.with_records(now_ms)
            .map(|(name, bsos)| (name, bsos.iter().map(|bso| bso.payload.len() as u64).sum()))
            .collect()
    }

    /// The bytes of payload in all.
    pub(super) fn bytes(&self, now_ms: i64) -> u64 {
        self.usage(now_ms).iter().map(|(_, bytes)| bytes).sum()
    }

    fn with_records(&self, now_ms: i64) -> impl Iterator<Item = (CollectionName, Vec<Bso>)> {
        self.collections
            .keys()
            .map(move |name| (name.clone(), self.visible(name, now_ms)))
            .filter(|(_, bsos)| !bsos.is_empty())
    }

    /// Applies a change to a record, or makes it. `moves` says whether an existing one gets a new `modified`.
    pub(super) fn write(
        &mut self,
        collection: &CollectionName,
        change: &BsoChange,
        time: SyncTimestamp,
        now_ms: i64,
        moves: bool,
    ) {
        let records = &mut self.collections.entry(collection.clone()).or_default().records;
        // What has expired is not there to be updated: the record starts afresh.
        let old = records.iter().find(|record| record.bso.id == change.id && !record.is_expired(now_ms)).cloned();
        records.retain(|record| record.bso.id != change.id);
        let (modified, sortindex, payload, expires_ms) = match old {
            Some(Record { bso, expires_ms }) => {
                (if moves { time } else { bso.modified }, bso.sortindex, Some(bso.payload), expires_ms)
            }
            None => (time, None, None, None),
        };
        let new_expiry = match change.ttl {
            crate::Patch::Keep => expires_ms,
            crate::Patch::Reset => None,
            crate::Patch::Set(ttl) => Some(expiry(time, now_ms, ttl)),
        };
        records.push(Record {
            bso: Bso {
                id: change.id.clone(),
                modified,
                sortindex: change.sortindex.apply(sortindex),
                payload: change.payload.clone().apply(payload).unwrap_or_default(),
            },
            expires_ms: new_expiry,
        });
    }

    /// Gives the collection its time, making it where it is not there.
    pub(super) fn touch(&mut self, collection: &CollectionName, time: SyncTimestamp) {
        self.collections.entry(collection.clone()).or_default().last_modified = time;
    }

    pub(super) fn remove(&mut self, collection: &CollectionName, id: &BsoId) {
        if let Some(collection) = self.collections.get_mut(collection) {
            collection.records.retain(|record| record.bso.id != *id);
        }
    }

    pub(super) fn remove_collection(&mut self, collection: &CollectionName) {
        self.collections.remove(collection);
    }

    /// Removes expired records while `left` lasts, and says how many.
    pub(super) fn purge(&mut self, now_ms: i64, left: &mut u64) -> u64 {
        let before = *left;
        for collection in self.collections.values_mut() {
            collection.records.retain(|record| {
                let goes = *left > 0 && record.is_expired(now_ms);
                *left -= u64::from(goes);
                !goes
            });
        }
        before - *left
    }

    pub(super) fn has_expired(&self, now_ms: i64) -> bool {
        self.records().any(|record| record.is_expired(now_ms))
    }

    pub(super) fn next_expiry(&self, now_ms: i64) -> Option<i64> {
        self.records().filter_map(|record| record.expires_ms).filter(|expires_ms| *expires_ms > now_ms).min()
    }

    pub(super) fn times(&self) -> Vec<SyncTimestamp> {
        let collections = self.collections.values().map(|collection| collection.last_modified);
        let records = self.records().map(|record| record.bso.modified);
        collections.chain(records).chain([self.last_modified]).collect()
    }

    fn records(&self) -> impl Iterator<Item = &Record> {
        self.collections.values().flat_map(|collection| &collection.records)
    }
}
