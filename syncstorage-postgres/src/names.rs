//! The numbers of collections' names.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use diesel::sql_types::{Integer, Text};
use network_engine::PostgresEngine;
use network_engine::postgres::sql;
use syncstorage_db_common::{CollectionName, Fault};

const ALL: &str = "SELECT collection_id, name FROM collections";

/// What this process has seen of the table `collections`. A name keeps its number for ever, so that nothing in here
/// goes stale; what another server has added since is just not there yet.
#[derive(Debug, Default)]
pub(crate) struct Names(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<CollectionName, i32>,
    names: HashMap<i32, CollectionName>,
}

impl Known {
    fn add(&mut self, name: CollectionName, number: i32) {
        self.names.insert(number, name.clone());
        self.numbers.insert(name, number);
    }
}

impl Names {
    /// The number of a name, as far as it is known here.
    pub(crate) fn number(&self, name: &CollectionName) -> Option<i32> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.get(name).copied()
    }

    /// The names of numbers, or `None` when one is not known here.
    pub(crate) fn names(&self, numbers: impl Iterator<Item = i32>) -> Option<Vec<CollectionName>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        numbers.map(|number| known.names.get(&number).cloned()).collect()
    }

    /// Keeps what the database said.
    pub(crate) fn learn(&self, name: &CollectionName, number: i32) {
        if self.number(name).is_none() {
            self.0.write().unwrap_or_else(PoisonError::into_inner).add(name.clone(), number);
        }
    }

    /// Asks the database for all of them.
    pub(crate) async fn load(&self, engine: &PostgresEngine) -> Result<(), Fault> {
        let all: Vec<(i32, String)> = engine.read(|conn| sql::<(Integer, Text)>(ALL).rows(conn)).await?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (number, name) in all {
            known.add(CollectionName::from_stored(name), number);
        }
        Ok(())
    }
}
