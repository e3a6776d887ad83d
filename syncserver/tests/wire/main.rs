//! The conformance suite of storage backends, run through HTTP.
//!
//! [`wire_db::WireDb`] is a `Db` like any other, only that it asks a server over a socket. So every case of the suite,
//! and the random operations that are compared with the model, hold for the server as a whole: what a client is told is
//! what the storage said.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(unreachable_pub, reason = "modules of a test are not reached from anywhere")]

#[path = "../http/server.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod server;
#[path = "../http/store.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod store;
mod text;
mod wire_db;

use std::sync::Arc;

use syncserver::settings;
use syncstorage_db_common::DbOptions;
use syncstorage_db_common::testing::TestDb;

use crate::server::{SECRET, TestServer};
use crate::store::Store;
use crate::wire_db::WireDb;

/// A server with an empty database and these options. Its limits of a single request are beyond what any case sends.
async fn open(options: DbOptions) -> TestDb {
    let store = Arc::new(Store::default());
    let mut variables = vec![
        ("SYNC_HOST", "127.0.0.1"),
        ("SYNC_PORT", "0"),
        ("SYNC_WORKERS", "1"),
        ("SYNC_MASTER_SECRET", SECRET),
        ("SYNC_PURGE_INTERVAL", "0"),
        ("SYNC_METRICS_LISTEN", "off"),
        ("SYNC_TOKENSERVER__ENABLED", "false"),
    ];
    variables.extend(store.variables());
    let mut settings = settings::load(None, variables).unwrap();
    let limits = &mut settings.syncstorage.limits;
    limits.max_post_records = 1 << 20;
    limits.sizes.max_record_payload_bytes = 1 << 30;
    limits.sizes.max_post_bytes = 1 << 30;
    limits.sizes.max_request_bytes = 1 << 31;
    limits.max_total_records = options.batch.records;
    limits.max_total_bytes = options.batch.bytes;
    settings.syncstorage.quota = options.quota;
    let server = TestServer::run(settings, options.clock.clone(), store);
    TestDb::new(Arc::new(WireDb::new(&server, options.quota)), server)
}

syncstorage_db_common::storage_conformance!(open);
