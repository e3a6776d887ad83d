//! Opens databases for the tests.

use std::sync::Arc;

use network_engine::{EngineOptions, MysqlEngine};
use syncstorage_mysql::{COMPONENT, MIGRATIONS};

/// Opens a database as a server does, migrations included, with so many connections.
pub(crate) async fn engine(url: &str, max_size: usize) -> Arc<MysqlEngine> {
    let options = EngineOptions { max_size, ..EngineOptions::default() };
    MysqlEngine::open(&url.parse().unwrap(), options, vec![(COMPONENT, MIGRATIONS)]).await.unwrap()
}
