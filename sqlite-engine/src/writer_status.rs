//! What the writer can say of its work, for those who watch the server.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of [`WriterStatus::commits`]: writes in one transaction.
pub const COMMIT_SIZES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// How busy the writer is. All but the queue counts from when the file was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterStatus {
    /// Writes that wait.
    pub queued: usize,
    /// The most that may.
    pub capacity: usize,
    /// Writes that were refused: the queue was full, or their turn did not come in time.
    pub refused: u64,
    /// Transactions that were committed, by how many writes they held: at the same place as its bound in
    /// [`COMMIT_SIZES`], without those of smaller bounds.
    pub commits: [u64; COMMIT_SIZES.len()],
    /// The writes in them, those that refused included.
    pub writes: u64,
    /// Transactions that failed, and all writes in them.
    pub failed_commits: u64,
}

/// The same, as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    refused: AtomicU64,
    commits: [AtomicU64; COMMIT_SIZES.len()],
    writes: AtomicU64,
    failed_commits: AtomicU64,
}

impl Figures {
    /// A write that was not run.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction of so many writes; none means that there was no transaction.
    pub(crate) fn transaction(&self, writes: usize, committed: bool) {
        if !committed {
            self.failed_commits.fetch_add(1, Ordering::Relaxed);
        } else if writes > 0 {
            let writes = u64::try_from(writes).unwrap_or(u64::MAX);
            let size = COMMIT_SIZES.iter().position(|bound| writes <= *bound).unwrap_or(COMMIT_SIZES.len() - 1);
            self.commits[size].fetch_add(1, Ordering::Relaxed);
            self.writes.fetch_add(writes, Ordering::Relaxed);
        }
    }

    pub(crate) fn status(&self, queued: usize, capacity: usize) -> WriterStatus {
        WriterStatus {
            queued,
            capacity,
            refused: self.refused.load(Ordering::Relaxed),
            commits: std::array::from_fn(|size| self.commits[size].load(Ordering::Relaxed)),
            writes: self.writes.load(Ordering::Relaxed),
            failed_commits: self.failed_commits.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_counted_by_their_size() {
        let figures = Figures::default();
        for writes in [1, 2, 3, 4, 256, 0] {
            figures.transaction(writes, true);
        }
        figures.transaction(7, false);
        let status = figures.status(3, 9);
        assert_eq!(status.commits, [1, 1, 2, 0, 0, 0, 0, 0, 1]);
        assert_eq!((status.writes, status.failed_commits, status.queued, status.capacity), (266, 1, 3, 9));
    }
}
