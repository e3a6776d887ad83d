//! Makes up operations: mostly sensible ones, with the edges more often than chance would have them.

use super::operation::Operation;
use crate::testing::{ModelDb, change, id, name};
use crate::{
    BATCH_LIFETIME_MS, BsoChange, BsoId, BsoQuery, BsoRef, CollectionRef, Cursor, Patch, Precondition, PurgeBudget,
    Sort, SyncTimestamp, TimeBound, UserId,
};

const COLLECTIONS: [&str; 3] = ["bookmarks", "Bookmarks", "x.y-z_0"];
const IDS: [&str; 8] = ["a", "A", "a ", "b", "{c}", "~", "%", "_"];
const PAYLOADS: [&str; 8] =
    ["", "x", "text", "🦊", "e\u{301}\n'\"\\", "0123456789012345678901234567890123456789", "null", " "];
const SORTINDEXES: [i32; 7] = [-999_999_999, -1, 0, 1, 2, 5, 999_999_999];
const TTLS: [u32; 8] = [0, 1, 1, 2, 10, 60, 3600, 999_999_999];
const LIMITS: [u64; 7] = [0, 1, 2, 3, 5, 100, u64::MAX];

/// SplitMix64: a few lines, and the same numbers everywhere for ever.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From zero to one less than `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).expect("less than a usize")
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// Makes up one operation after the other.
pub(super) struct Generator {
    random: Random,
    users: Vec<UserId>,
    /// Where batches were to be opened, in the order of their numbers.
    batches: Vec<CollectionRef>,
}

impl Generator {
    pub(super) fn new(seed: u64, users: Vec<UserId>) -> Self {
        Self { random: Random(seed), users, batches: Vec::new() }
    }

    /// The next operation. Its times are taken from what the model holds, so that they are close to the truth.
    pub(super) fn next(&mut self, model: &ModelDb, now_ms: i64) -> Operation {
        let at = self.collection();
        let user = at.user;
        let times = model.times(user);
        let read = self.condition(&times, 15, 15);
        let write = self.condition(&times, 2, 25);
        match self.random.below(1000) {
            0..25 => Operation::InfoCollections(user, read),
            25..45 => Operation::InfoCounts(user, read),
            45..65 => Operation::InfoUsage(user, read),
            65..85 => Operation::InfoQuota(user, read),
            85..155 => Operation::GetBsos(at, self.query(&times), read),
            155..185 => Operation::GetIds(at, self.query(&times), read),
            185..215 => {
                let limit = Some(self.random.below(3) as u64 + 1);
                Operation::GetPages(at, BsoQuery { limit, after: None, ..self.query(&times) })
            }
            215..275 => Operation::GetBso(self.record(at), read),
            275..435 => Operation::Put(at, self.change(), write),
            435..535 => Operation::Post(at, self.changes(), write),
            // Which of two refusals an absent record gets is not said where the condition is one of reads.
            535..575 => Operation::DeleteBso(self.record(at), self.condition(&times, 0, 25)),
            575..600 => Operation::DeleteBsos(at, self.ids(), write),
            600..612 => Operation::DeleteCollection(at, write),
            612..616 => Operation::DeleteStore(user, write),
            616..656 => {
                self.batches.push(at.clone());
                Operation::CreateBatch(at, self.changes(), write)
            }
            656..726 => {
                let (at, number) = self.batch(at);
                Operation::Append(at, number, self.changes(), write)
            }
            726..766 => {
                let (at, number) = self.batch(at);
                Operation::Commit(at, number, self.changes(), write)
            }
            766..776 => Operation::Purge(PurgeBudget { rows: self.random.pick(&[1, 2, 5, 1000]) }),
            _ => Operation::MoveClock(self.step(model, now_ms)),
        }
    }

    fn step(&mut self, model: &ModelDb, now_ms: i64) -> i64 {
        match self.random.below(100) {
            0..50 => self.random.below(30) as i64,
            50..75 => self.random.below(4000) as i64,
            // To where something expires, a millisecond before it, or one after; seldom to what is hours away.
            75..95 => {
                let there = model.next_expiry(now_ms).map_or(1000, |expires_ms| expires_ms - now_ms);
                let near = there < 100_000 || self.random.percent(10);
                let there = if near { there.min(4_000_000) } else { 1000 };
                (there + self.random.pick(&[-1, 0, 0, 1])).max(0)
            }
            95..97 => BATCH_LIFETIME_MS / 4,
            97 => BATCH_LIFETIME_MS + 1,
            _ => -(self.random.below(3_600_000) as i64),
        }
    }

    fn collection(&mut self) -> CollectionRef {
        CollectionRef { user: self.random.pick(&self.users), collection: name(self.random.pick(&COLLECTIONS)) }
    }

    fn record(&mut self, at: CollectionRef) -> BsoRef {
        BsoRef { user: at.user, collection: at.collection, id: id(self.random.pick(&IDS)) }
    }

    /// One of the last batches, mostly at its own place, or none at all.
    fn batch(&mut self, at: CollectionRef) -> (CollectionRef, usize) {
        if self.batches.is_empty() || self.random.percent(5) {
            return (at, usize::MAX);
        }
        let number = self.batches.len() - 1 - self.random.below(self.batches.len().min(4));
        if self.random.percent(5) { (at, number) } else { (self.batches[number].clone(), number) }
    }

    fn ids(&mut self) -> Vec<BsoId> {
        (0..self.random.below(5)).map(|_| id(self.random.pick(&IDS))).collect()
    }

    fn change(&mut self) -> BsoChange {
        let mut made = change(self.random.pick(&IDS));
        made.payload = self.patch(&PAYLOADS, 60, |payload| (*payload).to_owned());
        made.sortindex = self.patch(&SORTINDEXES, 40, Clone::clone);
        made.ttl = self.patch(&TTLS, 25, Clone::clone);
        made
    }

    fn patch<T, U>(&mut self, values: &[T], chance: usize, make: impl FnOnce(&T) -> U) -> Patch<U> {
        if self.random.percent(10) {
            Patch::Reset
        } else if self.random.percent(chance) {
            Patch::Set(make(&values[self.random.below(values.len())]))
        } else {
            Patch::Keep
        }
    }

    /// None to five changes, of different records.
    fn changes(&mut self) -> Vec<BsoChange> {
        let mut changes: Vec<BsoChange> = Vec::new();
        for _ in 0..self.random.below(6) {
            let made = self.change();
            if changes.iter().all(|earlier| earlier.id != made.id) {
                changes.push(made);
            }
        }
        changes
    }

    fn condition(&mut self, times: &[SyncTimestamp], modified: usize, unmodified: usize) -> Precondition {
        let chance = self.random.below(100);
        if chance < modified {
            Precondition::ModifiedSince(self.bound(times))
        } else if chance < modified + unmodified {
            // Half of them hold, so that not all that comes after is refused.
            let last = times.iter().max().copied().unwrap_or_default();
            let bound = if self.random.percent(50) { last.into() } else { self.bound(times) };
            Precondition::UnmodifiedSince(bound)
        } else {
            Precondition::None
        }
    }

    /// A time that something has, or one next to it; sometimes one that is far off.
    fn bound(&mut self, times: &[SyncTimestamp]) -> TimeBound {
        let text = match self.random.below(20) {
            0 => "0".to_owned(),
            1 => "4102405200000".to_owned(),
            _ => {
                let near = self.random.pick(&[-10_000, -5_000, -1, 0, 0, 0, 1, 5_000, 10_000]);
                let micros = (self.random.pick(times).as_ms() * 1000 + near).max(0);
                format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
            }
        };
        text.parse().unwrap()
    }

    fn query(&mut self, times: &[SyncTimestamp]) -> BsoQuery {
        let sort = self.random.pick(&[Sort::Newest, Sort::Oldest, Sort::Index]);
        let mut query = BsoQuery { sort, ..BsoQuery::default() };
        if self.random.percent(20) {
            query.ids = Some(self.ids());
        }
        if self.random.percent(25) {
            query.newer = Some(self.bound(times));
        }
        if self.random.percent(15) {
            query.older = Some(self.bound(times));
        }
        if self.random.percent(40) {
            query.limit = Some(self.random.pick(&LIMITS));
        }
        if self.random.percent(20) {
            let key = id(self.random.pick(&IDS));
            let sortindex = if self.random.percent(80) { Some(self.random.pick(&SORTINDEXES)) } else { None };
            query.after = Some(Cursor::of(sort, &key, self.random.pick(times), sortindex));
        }
        query
    }
}
