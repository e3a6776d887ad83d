//! The storage of a Sync 1.5 server on MySQL or MariaDB.
