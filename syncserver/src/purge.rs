//! The removal of what nobody needs any more: in the background, or when told to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use slog::Logger;
use syncstorage_db_common::{Clock, Db, DbResult, Fault, PurgeBudget};
use tokenserver_db_common::{ReplacedRow, TokenDb};

use crate::causes::chain;
use crate::metrics::{Metrics, PurgeRound};
use crate::node::{Nodes, NotDeleted, url};

/// How much is removed at once.
const BUDGET: PurgeBudget = PurgeBudget { rows: 1000 };

/// The pause between two removals, for the requests that wait.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the storage of a replaced user is kept, in ms: a device that was away may still finish a sync.
const GRACE_MS: i64 = 24 * 60 * 60 * 1000;

/// How many replaced users are looked at in one go.
const ROWS: u32 = 100;

/// How often a node may answer that it does not delete a user's storage before it is left alone until the next round.
const MAX_REFUSALS: u32 = 5;

/// The pause before the first purge: a minute, by chance half a minute more or less, so that servers that were started
/// together do not purge together.
const FIRST_PAUSE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(60));

/// What a purge needs.
pub(crate) struct Purge {
    /// The storage.
    pub(crate) storage: Arc<dyn Db>,
    /// The users; `None`: they are not this server's business.
    pub(crate) tokens: Option<Arc<dyn TokenDb>>,
    /// The URL of this server's own storage.
    pub(crate) public_url: String,
    /// The others.
    pub(crate) nodes: Nodes,
    /// The time.
    pub(crate) clock: Clock,
    /// What is done and what fails is said here.
    pub(crate) log: Logger,
}

/// What a purge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// Expired records that it removed.
    pub(crate) bsos: u64,
    /// Stale batches that it removed.
    pub(crate) batches: u64,
    /// Replaced rows of users that it removed, whose storage was deleted before.
    pub(crate) users: u64,
    /// What could not be done, and is tried again by the next one: each reason stands in the log.
    pub(crate) failures: u64,
}

impl Purge {
    /// Purges soon, and then again and again.
    pub(crate) async fn every(self, interval: Duration, metrics: Option<Arc<Metrics>>) {
        let mut byte = [0];
        // Without random numbers it is the shortest one, which does no harm.
        let _ = SystemRandom::new().fill(&mut byte);
        tokio::time::sleep(first_pause(interval, byte[0])).await;
        loop {
            let started = Instant::now();
            let Outcome { bsos, batches, users, failures } = self.once().await;
            if let Some(metrics) = &metrics {
                metrics.purged(PurgeRound { bsos, batches, users, failures, took: started.elapsed() });
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Purges all that there is to purge.
    pub(crate) async fn once(&self) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.storage(&mut outcome).await {
            slog::warn!(self.log, "the purge of expired records failed"; "reason" => chain(&error));
            outcome.failures += 1;
        }
        if let Some(tokens) = &self.tokens
            && let Err(error) = self.replaced_users(&**tokens, &mut outcome).await
        {
            slog::warn!(self.log, "the purge of replaced users failed"; "reason" => chain(&error));
            outcome.failures += 1;
        }
        let Outcome { bsos, batches, users, .. } = outcome;
        if bsos + batches + users > 0 {
            slog::info!(self.log, "purged"; "bsos" => bsos, "batches" => batches, "users" => users);
        }
        outcome
    }

    /// Removes expired records and stale batches.
    async fn storage(&self, outcome: &mut Outcome) -> DbResult<()> {
        loop {
            let purged = self.storage.purge(BUDGET).await?;
            outcome.bsos += purged.bsos;
            outcome.batches += purged.batches;
            if !purged.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Deletes the storage of users that were replaced, and then their rows. A node that does not answer keeps its rows.
    async fn replaced_users(&self, tokens: &dyn TokenDb, outcome: &mut Outcome) -> Result<(), Fault> {
        let mut after = None;
        let mut failures = Failures::default();
        loop {
            let rows = tokens.replaced_rows(self.clock.now_ms() - GRACE_MS, after, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.uid);
            for row in rows {
                let node = row.node.as_ref().map(|node| url(node, &self.public_url).to_owned()).unwrap_or_default();
                if failures.are_too_many(&node) {
                    outcome.failures += 1;
                    continue;
                }
                match self.delete_storage(&row).await {
                    Ok(()) => outcome.users += u64::from(tokens.forget_row(row.uid).await?),
                    Err(NotDeleted { reason, node_answers }) => {
                        outcome.failures += 1;
                        if failures.note(&node, node_answers) {
                            slog::warn!(self.log, "the storage of a replaced user could not be deleted, and is tried \
                                again later; further failures of its node in this round are not logged";
                                "uid" => row.uid.get(), "node" => node, "reason" => reason);
                        }
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn delete_storage(&self, row: &ReplacedRow) -> Result<(), NotDeleted> {
        self.nodes.delete_storage(&*self.storage, &self.public_url, row.uid, row.node.as_ref()).await
    }
}

/// Not a whole interval: a process that is restarted more often than that would never purge.
fn first_pause(interval: Duration, chance: u8) -> Duration {
    let (least, span) = FIRST_PAUSE;
    (least + span.mul_f64(f64::from(chance) / 255.0)).min(interval)
}

/// The nodes that have failed in this round, with how often they did. One that hangs costs its timeout each time that it
/// is asked, and would hold up all others.
#[derive(Default)]
struct Failures(HashMap<String, u32>);

impl Failures {
    /// Takes note of one; whether it is the first of this node.
    fn note(&mut self, node: &str, node_answers: bool) -> bool {
        let weight = if node_answers { 1 } else { MAX_REFUSALS };
        match self.0.entry(node.to_owned()) {
            Entry::Occupied(mut known) => {
                *known.get_mut() += weight;
                false
            }
            Entry::Vacant(new) => {
                new.insert(weight);
                true
            }
        }
    }

    /// Whether the node is not asked any more. One that answers is asked a few times more, so that a single user whose
    /// storage cannot be deleted does not keep all those that come after.
    fn are_too_many(&self, node: &str) -> bool {
        self.0.get(node).is_some_and(|count| *count >= MAX_REFUSALS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_purge_comes_after_about_a_minute_or_an_interval_if_that_is_shorter() {
        let day = Duration::from_secs(86_400);
        assert_eq!(first_pause(day, 0), Duration::from_secs(30));
        assert_eq!(first_pause(day, 255), Duration::from_secs(90));
        assert!(first_pause(day, 100) < first_pause(day, 101));
        assert_eq!(first_pause(Duration::from_secs(1), 255), Duration::from_secs(1));
    }

    #[test]
    fn a_node_that_does_not_answer_is_asked_once_and_one_that_refuses_a_few_times() {
        let mut failures = Failures::default();
        assert!(!failures.are_too_many("a"));
        assert!(failures.note("a", false));
        assert!(failures.are_too_many("a") && !failures.are_too_many("b"));
        assert!(failures.note("b", true));
        for _ in 1..MAX_REFUSALS {
            assert!(!failures.are_too_many("b"));
            assert!(!failures.note("b", true));
        }
        assert!(failures.are_too_many("b"));
    }
}
