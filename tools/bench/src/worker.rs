//! One connection's share of the load.

use crate::client::{Client, Target};
use crate::data::{Numbers, Payloads, USUAL_PAYLOAD};
use crate::scenario::Scenario;
use crate::users::User;
use std::fmt::Write as _;
use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// The records that every user has in `bookmarks` from the start.
const SEEDED: u64 = 100;
/// How many different records a user has at most in a collection that is written to.
const ROUND: u64 = 1000;
const BATCH_POSTS: u64 = 10;
/// A pause after the connection broke, so that a dead server is not hammered.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// How long each answered request took, in µs.
    pub(crate) latencies: Vec<u32>,
    /// Requests not answered, or otherwise than with 2xx.
    pub(crate) failed: u64,
    /// The first of these.
    pub(crate) first_failure: Option<String>,
    /// Records read or written.
    pub(crate) records: u64,
}

impl Tally {
    /// Adds what happened elsewhere.
    pub(crate) fn add(&mut self, other: Tally) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.records += other.records;
    }
}

/// Requests that are sent again and again.
#[derive(Clone, Debug)]
pub(crate) enum Load {
    /// Those of a scenario that has nothing to prepare.
    Scenario(Scenario),
    /// GET of a page that holds so many records.
    Page { path: String, records: u64 },
}

/// A connection and the users it speaks for.
pub(crate) struct Worker {
    target: Target,
    client: Client,
    users: Vec<User>,
    turn: usize,
    numbers: Numbers,
    payloads: Payloads,
    /// A time later than any write of the seeding.
    newer: u64,
    path: String,
    body: Vec<u8>,
    batch: String,
    tally: Tally,
}

impl Worker {
    pub(crate) async fn new(target: &Target, users: Vec<User>, seed: u64) -> io::Result<Worker> {
        Ok(Worker {
            target: target.clone(),
            client: Client::connect(target).await?,
            users,
            turn: 0,
            numbers: Numbers::new(seed),
            payloads: Payloads::up_to(2 * USUAL_PAYLOAD),
            // Servers may stamp a little ahead of the clock.
            newer: testclient::now().as_secs() + 10,
            path: String::new(),
            body: Vec::new(),
            batch: String::new(),
            tally: Tally::default(),
        })
    }

    /// Gives each user the data that the other scenarios read.
    pub(crate) async fn seed(mut self) -> Tally {
        for user in self.users.clone() {
            self.path("/storage/meta/global");
            self.payloads.write_body(USUAL_PAYLOAD, &mut self.body);
            self.request(&user, "PUT", 1).await;
            self.path("/storage/bookmarks");
            self.payloads.write_records("bkm-", 0..SEEDED, &mut self.body, || USUAL_PAYLOAD);
            self.request(&user, "POST", SEEDED).await;
        }
        self.tally
    }

    /// Writes one record of each user.
    pub(crate) async fn first_records(mut self) -> Tally {
        for user in self.users.clone() {
            self.path("/storage/forms/frm-00000000");
            self.payloads.write_body(USUAL_PAYLOAD, &mut self.body);
            self.request(&user, "PUT", 1).await;
        }
        self.tally
    }

    /// Runs until then.
    pub(crate) async fn run(mut self, load: &Load, until: Instant) -> Tally {
        while Instant::now() < until {
            self.turn = (self.turn + 1) % self.users.len();
            let user = self.users[self.turn].clone();
            match load {
                Load::Scenario(scenario) => self.step(*scenario, &user).await,
                Load::Page { path, records } => self.get(&user, path, *records).await,
            }
        }
        self.tally
    }

    async fn step(&mut self, scenario: Scenario, user: &User) {
        match scenario {
            Scenario::Info => self.get(user, "/info/collections", 0).await,
            Scenario::Bso => {
                let number = self.numbers.below(SEEDED);
                self.path("");
                let _ = write!(self.path, "/storage/bookmarks/bkm-{number:08}");
                self.request(user, "GET", 1).await;
            }
            Scenario::Page100 => self.get(user, "/storage/bookmarks?full=1&limit=100", SEEDED).await,
            Scenario::NothingNewer => self.nothing_newer(user).await,
            Scenario::Put => {
                self.path("");
                let _ = write!(self.path, "/storage/forms/frm-{:08}", user.next_records(1, ROUND));
                self.payloads.write_body(USUAL_PAYLOAD, &mut self.body);
                self.request(user, "PUT", 1).await;
            }
            Scenario::Post1 => self.post(user, "/storage/prefs", 1, USUAL_PAYLOAD..=USUAL_PAYLOAD).await,
            Scenario::Post10 => self.post(user, "/storage/history", 10, USUAL_PAYLOAD..=USUAL_PAYLOAD).await,
            Scenario::Post100 => self.post(user, "/storage/addons", 100, USUAL_PAYLOAD..=USUAL_PAYLOAD).await,
            Scenario::Batch1000 => self.batch(user).await,
            Scenario::Mix => self.mix(user).await,
            Scenario::All | Scenario::NewUsers | Scenario::Pages | Scenario::Big => {
                unreachable!("these are not run in steps")
            }
        }
    }

    async fn post(&mut self, user: &User, path: &str, count: u64, sizes: RangeInclusive<usize>) {
        // A POST must not hold an id twice, so it ends where the round does.
        let first = user.next_records(count, ROUND);
        let last = (first + count).min(ROUND);
        self.path(path);
        let (numbers, spread) = (&mut self.numbers, (sizes.end() - sizes.start() + 1) as u64);
        let size = || sizes.start() + usize::try_from(numbers.below(spread)).unwrap_or(0);
        self.payloads.write_records("rec-", first..last, &mut self.body, size);
        self.request(user, "POST", last - first).await;
    }

    async fn batch(&mut self, user: &User) {
        for part in 0..BATCH_POSTS {
            self.path("/storage/passwords?batch=");
            self.path.push_str(if part == 0 { "true" } else { &self.batch });
            if part == BATCH_POSTS - 1 {
                self.path.push_str("&commit=true");
            }
            self.payloads.write_records("bat-", part * 100..(part + 1) * 100, &mut self.body, || USUAL_PAYLOAD);
            // A batch that lost a part is of no use, and its other parts would only fail too.
            let Some(answer) = self.request(user, "POST", 100).await else { return };
            if part == 0 {
                let Some(id) = batch_id(answer) else {
                    self.fail("the answer to batch=true has no batch id".to_owned());
                    return;
                };
                self.batch = id;
            }
        }
    }

    async fn mix(&mut self, user: &User) {
        match self.numbers.below(100) {
            0..45 => self.get(user, "/info/collections", 0).await,
            45..75 => self.nothing_newer(user).await,
            75..90 => self.get(user, "/storage/meta/global", 1).await,
            _ => {
                let count = 1 + self.numbers.below(10);
                self.post(user, "/storage/tabs", count, 300..=600).await;
            }
        }
    }

    async fn nothing_newer(&mut self, user: &User) {
        self.path("");
        let _ = write!(self.path, "/storage/bookmarks?full=1&newer={}.00", self.newer);
        self.request(user, "GET", 0).await;
    }

    async fn get(&mut self, user: &User, path: &str, records: u64) {
        self.path(path);
        self.request(user, "GET", records).await;
    }

    fn path(&mut self, start: &str) {
        self.path.clear();
        self.path.push_str(start);
    }

    /// Sends what `path` and `body` hold, and counts and times it; the answer's body, if all was well.
    async fn request(&mut self, user: &User, method: &str, records: u64) -> Option<&[u8]> {
        let body = (method != "GET").then_some(self.body.as_slice());
        let start = Instant::now();
        let problem = match self.client.send(user, method, &self.path, body).await {
            Ok(answer) => {
                let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
                self.tally.latencies.push(took);
                if (200..300).contains(&answer.status) {
                    self.tally.records += records;
                    None
                } else {
                    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
                    Some(format!("{method} {}{} gave {}: {body}", user.root, self.path, answer.status))
                }
            }
            Err(error) => {
                let problem = format!("{method} {}{} failed: {error}", user.root, self.path);
                tokio::time::sleep(RECONNECT_PAUSE).await;
                if let Ok(client) = Client::connect(&self.target).await {
                    self.client = client;
                }
                Some(problem)
            }
        };
        match problem {
            None => Some(self.client.body()),
            Some(problem) => {
                self.fail(problem);
                None
            }
        }
    }

    fn fail(&mut self, problem: String) {
        self.tally.failed += 1;
        self.tally.first_failure.get_or_insert(problem);
    }
}

/// The batch id in an answer, as it goes into a query.
pub(crate) fn batch_id(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let id = answer.get("batch")?.as_str()?;
    let mut encoded = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Some(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_ids_are_made_fit_for_a_query() {
        assert_eq!(batch_id(br#"{"batch":"MT-z+/=","success":[]}"#).as_deref(), Some("MT-z%2B%2F%3D"));
        assert_eq!(batch_id(b"{}"), None);
    }

    #[test]
    fn tallies_add_up() {
        let mut sum = Tally::default();
        let first = Tally { latencies: vec![1], failed: 1, first_failure: Some("a".into()), records: 2 };
        sum.add(first);
        sum.add(Tally { latencies: vec![2, 3], failed: 1, first_failure: Some("b".into()), records: 3 });
        assert_eq!((sum.latencies.len(), sum.failed, sum.records), (3, 2, 5));
        assert_eq!(sum.first_failure.as_deref(), Some("a"));
    }
}
