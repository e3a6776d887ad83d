//! A storage as a whole: for backups, and for moves from one database to another.
//!
//! This stands beside [`Db`](crate::Db), which is the language of the protocol and knows one user at a time.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{Bso, CollectionName, CollectionRef, DbResult, Fault, Sink, SyncTimestamp, UserId};

/// The name of the note in a database that is being filled; its text says what fills it. As long as it is there no server
/// starts, and one that runs is unwell.
pub const UNFINISHED: &str = "unfinished";

/// What an engine's `check` says of a database that has the note [`UNFINISHED`].
#[must_use]
pub fn unfinished_fault(what: &str) -> Fault {
    Fault::unavailable(format!("its last {what} did not finish, so that only a part is there; stop this server"))
}

/// One thing that a storage holds, in no database's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredItem {
    /// A user who has written at some time, even where nothing is left of it.
    Store {
        /// Who.
        user: UserId,
        /// When anything of the user's was last written or deleted. Not zero.
        modified: SyncTimestamp,
    },
    /// A collection, with or without records.
    Collection {
        /// Whose, and which.
        at: Arc<CollectionRef>,
        /// When it was last written. Not zero.
        modified: SyncTimestamp,
    },
    /// A record.
    Bso(StoredBso),
}

/// A record with all that is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBso {
    /// Whose, and in which collection.
    pub at: Arc<CollectionRef>,
    /// What a client sees of it.
    pub bso: Bso,
    /// From when on it is absent, in ms since the epoch; `None`: it never expires.
    pub expiry: Option<i64>,
}

/// What the contents of a storage can be read from.
#[async_trait]
pub trait StorageSource: Send + Sync {
    /// Hands over all that the storage held at one moment, and changes nothing. What writers do meanwhile is not seen,
    /// and holds up no writer.
    ///
    /// The order is the same on every database of ours: users by number, each as its store, then its collections by
    /// name, byte for byte, each followed by its records by id, byte for byte. (Another server's tables may yield the
    /// records of a collection in the order of their own language.) Left out are records that have expired at `now_ms`,
    /// ms since the epoch, and open batches, which live for two hours: a client begins its upload anew.
    async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<StoredItem>) -> DbResult<()>;
}

/// A storage that can be filled from outside, while nobody else uses it.
#[async_trait]
pub trait StorageTarget: StorageSource {
    /// Whether no user has ever written anything.
    async fn is_empty(&self) -> Result<bool, Fault>;

    /// Removes everything of all users.
    async fn clear(&self) -> Result<(), Fault>;

    /// Adds items, in the order of [`StorageSource::dump`], as they are, sums and orders of the database's own included;
    /// all of them or none. The next call goes on where this one ended, be it in the middle of a collection. Nothing of
    /// it may be there already.
    async fn load(&self, items: Vec<StoredItem>) -> Result<(), Fault>;
}

/// What records add to a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The collection.
    pub at: Arc<CollectionRef>,
    /// Records.
    pub records: i64,
    /// Their bytes of payload.
    pub bytes: i64,
}

/// What each collection grows by, in the order of the records, in which those of a collection stand together.
pub fn growth<'a>(bsos: impl IntoIterator<Item = &'a StoredBso>) -> Vec<Growth> {
    let mut all: Vec<Growth> = Vec::new();
    for StoredBso { at, bso, .. } in bsos {
        let bytes = i64::try_from(bso.payload.len()).unwrap_or(i64::MAX);
        match all.last_mut() {
            Some(last) if last.at == *at => {
                last.records += 1;
                last.bytes += bytes;
            }
            _ => all.push(Growth { at: Arc::clone(at), records: 1, bytes }),
        }
    }
    all
}

/// A store as it is found in tables where it has no row of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundStore {
    /// Whose.
    pub user: UserId,
    /// The latest time of all rows.
    pub modified: SyncTimestamp,
    /// The collections, by name: each with its number, and when it was last written.
    pub collections: Vec<(Arc<CollectionRef>, i64, SyncTimestamp)>,
}

/// Stores from the rows of `user_collections`: (user, number of the collection, time), by user. A row of no time, or
/// whose number has no name, is no collection, but its time counts for the store: that of collection 0 remembers the last
/// deletion.
pub fn found_stores(
    rows: impl IntoIterator<Item = (i64, i64, SyncTimestamp)>,
    names: &HashMap<i64, String>,
) -> Result<Vec<FoundStore>, Fault> {
    let mut stores: Vec<FoundStore> = Vec::new();
    for (user, number, modified) in rows {
        let user = UserId::try_from(user).map_err(Fault::internal)?;
        if modified == SyncTimestamp::ZERO {
            continue;
        }
        if stores.last().is_none_or(|last| last.user != user) {
            stores.push(FoundStore { user, modified, collections: Vec::new() });
        }
        if let Some(store) = stores.last_mut() {
            store.modified = store.modified.max(modified);
            if let Some(name) = names.get(&number).filter(|name| !name.is_empty()) {
                let collection = CollectionName::from_stored(name.clone());
                store.collections.push((Arc::new(CollectionRef { user, collection }), number, modified));
            }
        }
    }
    for store in &mut stores {
        store.collections.sort_by(|(one, ..), (other, ..)| one.collection.cmp(&other.collection));
    }
    Ok(stores)
}

/// Servers whose tables want an expiry for every record write for never this time after `modified`, in ms.
pub const NEVER_MS: i64 = 2_100_000_000_000;

/// The middle between that and the longest ttl of the protocol.
const LONGEST_LIFE_MS: i64 = (NEVER_MS + 999_999_999_000) / 2;

/// The expiry of a record from tables where never is [`NEVER_MS`] after `modified`, all in ms. After a write that left
/// the expiry alone it is less than that, and where the ttl alone was written, a real expiry is later than `modified`
/// and the longest ttl: by as much as lies between the two writes, which is less than the 17 years that there is room
/// for.
#[must_use]
pub const fn expiry_unless_never(modified: i64, expiry: i64) -> Option<i64> {
    if expiry.saturating_sub(modified) > LONGEST_LIFE_MS { None } else { Some(expiry) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BsoId;

    const YEAR_MS: i64 = 365 * 24 * 3_600_000;

    #[test]
    fn never_is_told_from_the_longest_life() {
        let modified = 1_700_000_000_000;
        let longest = 999_999_999_000;
        for later in [0, 1, 10 * YEAR_MS] {
            assert_eq!(expiry_unless_never(modified, modified + later + longest), Some(modified + later + longest));
            assert_eq!(expiry_unless_never(modified + later, modified + NEVER_MS), None);
        }
        assert_eq!(expiry_unless_never(modified, modified), Some(modified));
        assert_eq!(expiry_unless_never(modified, i64::MAX), None);
    }

    #[test]
    fn stores_are_found_in_the_rows_of_their_collections() {
        let names = [(1, "b"), (2, "a"), (100, "")].map(|(number, name)| (number, name.to_owned())).into();
        let time = |ms| SyncTimestamp::from_ms(ms);
        let rows = [
            (3, 1, time(10)),
            (3, 2, time(20)),
            (4, 0, time(50)),
            (4, 1, time(30)),
            (4, 2, SyncTimestamp::ZERO),
            (4, 100, time(60)),
            (5, 1, SyncTimestamp::ZERO),
            (6, 0, time(10)),
        ];
        let found: Vec<_> = found_stores(rows, &names)
            .unwrap()
            .into_iter()
            .map(|store| {
                let collections = store.collections.into_iter();
                let collections = collections.map(|(at, number, modified)| {
                    assert_eq!(at.user, store.user);
                    (at.collection.to_string(), number, modified.as_ms())
                });
                (store.user.get(), store.modified.as_ms(), collections.collect::<Vec<_>>())
            })
            .collect();
        let collection = |name: &str, number, ms| (name.to_owned(), number, ms);
        let expected = [
            (3, 20, vec![collection("a", 2, 20), collection("b", 1, 10)]),
            (4, 60, vec![collection("b", 1, 30)]),
            (6, 10, vec![]),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn records_add_up_by_collection() {
        let at = |user, name: &str| {
            let user = UserId::try_from(user).unwrap();
            Arc::new(CollectionRef { user, collection: CollectionName::new(name).unwrap() })
        };
        let record = |at: Arc<CollectionRef>, payload: &str| StoredBso {
            at,
            bso: Bso {
                id: BsoId::new("x").unwrap(),
                modified: SyncTimestamp::ZERO,
                sortindex: None,
                payload: payload.to_owned(),
            },
            expiry: None,
        };
        let records =
            [record(at(1, "a"), "é"), record(at(1, "a"), "x"), record(at(1, "b"), ""), record(at(2, "b"), "1")];
        let all: Vec<_> = growth(&records).into_iter().map(|sum| (sum.at.user.get(), sum.records, sum.bytes)).collect();
        assert_eq!(all, [(1, 2, 3), (1, 1, 0), (2, 1, 1)]);
    }
}
