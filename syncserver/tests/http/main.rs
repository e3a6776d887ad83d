//! The server as a client sees it: the real one, on a real port, spoken to over a socket.
//!
//! [`server::TestServer`] starts one; the other modules follow the chapters of the protocol reference.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod access_tokens;
mod api_doc;
mod auth;
mod auth_hosts;
mod batches;
mod big;
mod check;
mod clients;
mod collection_get;
mod collection_post;
mod compression;
mod cors;
mod coverage;
mod dashboards;
mod deletes;
mod exposition;
mod front_page;
mod headers;
mod info;
mod limits;
mod metrics;
mod model;
mod model_operations;
mod nodes;
mod ops;
mod paging;
mod preconditions;
mod purge;
mod quota;
mod records;
mod registration;
mod request_log;
mod server;
mod sign_in;
mod smoke;
mod statsd;
mod store;
mod tokenserver;
mod tokenserver_answers;
mod tokenserver_errors;
mod webhooks;
mod writes;
