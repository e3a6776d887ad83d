//! Errors as one line of a log.

use std::error::Error;

/// An error with all that led to it, the cause of each behind a colon. The errors of this program print themselves alone
/// and give their cause as `source()`, so that none is said twice.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use syncstorage_db_common::{DbError, Fault};

    use super::chain;

    #[test]
    fn an_error_is_told_with_every_cause_once() {
        let disk = io::Error::other("no space left");
        assert_eq!(chain(&disk), "no space left");
        let database = DbError::from(Fault::unavailable(Fault::internal(disk)));
        assert_eq!(chain(&database), "the database is not available: the database failed: no space left");
        assert_eq!(chain(&DbError::NotFound), "no such record");
    }
}
