//! The server as a client sees it: the real one, on a real port, spoken to over a socket.
//!
//! [`server::TestServer`] starts one; the other modules follow the chapters of the protocol reference.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod server;
mod smoke;
