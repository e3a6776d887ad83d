//! The tokenserver of a Sync 1.5 server on Postgres.
