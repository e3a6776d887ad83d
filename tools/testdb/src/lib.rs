//! Throw-away Postgres and MariaDB servers for tests, benchmarks and people.
