//! The numbers of collections' names.
//!
//! They are shared by all users and never removed, so that a process remembers those that it has seen.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use diesel::mysql::Mysql;
use diesel::sql_types::{BigInt, Binary};
use network_engine::mysql::sql;
use network_engine::{MysqlEngine, Sql};
use syncstorage_db_common::{CollectionName, Fault};

/// A number that no name has, for what looks for a collection by number and is to find none.
pub(crate) const NOBODYS: i64 = -1;

/// The names that this process has seen.
#[derive(Default)]
pub(crate) struct Names(RwLock<Known>);

#[derive(Default)]
struct Known {
    numbers: HashMap<CollectionName, i64>,
    names: HashMap<i64, CollectionName>,
}

/// How a statement tells which collection it means.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Number(i64),
    /// Looked up by the statement itself, so that it stays one round trip.
    Name(CollectionName),
}

impl Key {
    /// The key as an expression with one placeholder.
    pub(crate) const fn text(&self) -> &'static str {
        match self {
            Self::Number(_) => "?",
            Self::Name(_) => "(SELECT id FROM collections WHERE name = ?)",
        }
    }

    /// The value of the placeholder.
    pub(crate) fn bind<'a, Row>(&self, statement: Sql<'a, Mysql, Row>) -> Sql<'a, Mysql, Row> {
        match self {
            Self::Number(number) => statement.bind::<BigInt, _>(*number),
            Self::Name(name) => statement.bind::<Binary, _>(name.as_str().as_bytes().to_vec()),
        }
    }
}

const FIND: &str = "SELECT id FROM collections WHERE name = ?";

/// A name that another process added in the meantime is no error. (INSERT uses up a number even then, which is why the
/// name is looked for first.)
const ADD: &str = "INSERT INTO collections (name) VALUES (?) ON DUPLICATE KEY UPDATE name = name";

impl Names {
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        // What is in there is whole, whatever befell another thread.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a name.
    pub(crate) fn remember(&self, name: CollectionName, number: i64) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.names.insert(number, name.clone());
        known.numbers.insert(name, number);
    }

    /// The name of a number, if this process has seen it.
    pub(crate) fn name(&self, number: i64) -> Option<CollectionName> {
        self.known().names.get(&number).cloned()
    }

    /// How a read finds a collection.
    pub(crate) fn key(&self, name: &CollectionName) -> Key {
        self.number(name).map_or_else(|| Key::Name(name.clone()), Key::Number)
    }

    fn number(&self, name: &CollectionName) -> Option<i64> {
        self.known().numbers.get(name).copied()
    }

    /// The number of a name; `None` where nobody has used it.
    pub(crate) async fn find(&self, engine: &MysqlEngine, name: &CollectionName) -> Result<Option<i64>, Fault> {
        if let Some(number) = self.number(name) {
            return Ok(Some(number));
        }
        let text = name.as_str().as_bytes().to_vec();
        let found: Option<(i64,)> = engine
            .read(|conn| {
                let text = text.clone();
                sql::<(BigInt,)>(FIND).bind::<Binary, _>(text).row(conn)
            })
            .await?;
        if let Some((number,)) = found {
            self.remember(name.clone(), number);
        }
        Ok(found.map(|(number,)| number))
    }

    /// The number of a name, given one where it has none.
    pub(crate) async fn find_or_add(&self, engine: &MysqlEngine, name: &CollectionName) -> Result<i64, Fault> {
        if let Some(number) = self.find(engine, name).await? {
            return Ok(number);
        }
        let text = name.as_str().as_bytes().to_vec();
        engine
            .write(|conn| {
                let text = text.clone();
                sql(ADD).bind::<Binary, _>(text).run(conn)
            })
            .await?;
        let found = self.find(engine, name).await?;
        found.ok_or_else(|| Fault::internal("a new collection got no number"))
    }
}
