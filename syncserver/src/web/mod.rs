//! The web layer: what goes over the wire, and nothing of how it is stored.

pub mod api_doc;
pub mod body;
pub mod bso;
pub mod collection;
mod compression;
mod counted;
pub mod error;
pub mod extract;
pub mod front_page;
pub mod hawk;
pub mod headers;
pub mod health;
pub mod info;
pub mod middleware;
pub mod ops;
pub mod output;
pub mod parse;
pub mod query;
mod raw_bso;
pub mod request_id;
mod request_log;
pub mod route;
mod routes;

pub use routes::{Parts, routes};
