//! The engine on real servers, of both kinds.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod engine;
mod kind;
mod sharing;
mod silent;
