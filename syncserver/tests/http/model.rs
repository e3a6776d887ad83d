//! Random requests to the server, and their meaning told to a plain model in memory: every answer has to be what the
//! model says. The model takes operations, not requests; what stands between is written here once more, on purpose.
//!
//! To look further than the stamped runs do, set `HTTP_MODEL_SEED` and `HTTP_MODEL_OPERATIONS`.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};
use syncstorage_db_common::testing::{ManualClock, ModelDb};
use syncstorage_db_common::{
    BatchId, BatchLimits, Bso, BsoChange, BsoQuery, CollectionName, Cursor, Db, DbError, DbOptions, DbResult, Deletion,
    Fault, Precondition, Quota, Stamped, SyncTimestamp, UserId, Written,
};
use testclient::Response;

use crate::model_operations::{OpenBatch, OpenPages, Operation, Random, What, World};
use crate::server::{Client, TestServer};

/// How many operations a message about a difference shows.
const SHOWN: usize = 15;

/// What the model says that an answer must be.
struct Expected {
    status: u16,
    last_modified: Option<SyncTimestamp>,
    /// Whether the answer is of a write, whose time is its timestamp, too.
    is_write: bool,
    quota_left: Option<u64>,
    records: Option<usize>,
    body: Value,
    next: Option<Cursor>,
    batch: Option<BatchId>,
}

impl Expected {
    fn read(last_modified: SyncTimestamp, body: Value) -> Self {
        let (status, last_modified) = (200, Some(last_modified));
        Self { status, last_modified, is_write: false, quota_left: None, records: None, body, next: None, batch: None }
    }

    fn write(written: Written, body: Value) -> Self {
        Self { is_write: true, quota_left: written.quota_left, ..Self::read(written.modified, body) }
    }

    fn by_name<T>(list: Stamped<Vec<(CollectionName, T)>>, value: impl Fn(T) -> Value) -> Self {
        let records = Some(list.value.len());
        let members: Map<_, _> = list.value.into_iter().map(|(name, what)| (name.to_string(), value(what))).collect();
        Self { records, ..Self::read(list.last_modified, Value::Object(members)) }
    }

    fn deletion(deletion: Deletion) -> Self {
        match deletion {
            Deletion::Done(written) => Self::write(written, json!({ "modified": number(written.modified) })),
            Deletion::NoCollection(time) => Self::read(time, json!({ "modified": number(time) })),
        }
    }

    fn refusal(error: &DbError) -> Self {
        let (status, body, last_modified) = match error {
            DbError::NotModified(time) => (304, Value::Null, Some(*time)),
            DbError::PreconditionFailed(time) => (412, json!(0), Some(*time)),
            DbError::NotFound => (404, json!(0), None),
            DbError::BatchNotFound => (400, json!(0), None),
            DbError::BatchTooLarge => (400, json!(17), None),
            DbError::OverQuota => (403, json!(14), None),
            DbError::Output(_) | DbError::Fault(_) => panic!("the model failed: {error}"),
        };
        Self { status, last_modified, ..Self::read(SyncTimestamp::ZERO, body) }
    }
}

fn number(time: SyncTimestamp) -> Value {
    time.to_string().parse().unwrap()
}

fn kilobytes(bytes: u64) -> Value {
    json!(bytes as f64 / 1024.0)
}

fn record(bso: &Bso) -> Value {
    let mut json = json!({ "id": bso.id.as_str(), "modified": number(bso.modified), "payload": bso.payload });
    if let Some(sortindex) = bso.sortindex {
        json["sortindex"] = json!(sortindex);
    }
    json
}

struct Run {
    server: TestServer,
    clock: ManualClock,
    model: ModelDb,
    quota: Option<u64>,
    clients: Vec<Client>,
    world: World,
    seed: u64,
    log: VecDeque<String>,
    statuses: BTreeMap<u16, usize>,
}

impl Run {
    async fn start(seed: u64, quota: Option<u64>) -> Self {
        let limit = quota.unwrap_or(1).to_string();
        let (server, clock) = TestServer::start_with_clock(&[
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "6"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_RECORDS", "6"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_RECORD_PAYLOAD_BYTES", "160"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES", "160"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_TOTAL_BYTES", "160"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT", &limit),
            ("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", if quota.is_some() { "true" } else { "false" }),
        ]);
        let model = ModelDb::new(DbOptions {
            clock: clock.clock(),
            batch: BatchLimits { records: 6, bytes: 160 },
            quota: quota.map(|limit| Quota { limit, enforce: true }),
        });
        let mut clients = Vec::new();
        for uid in 1..=3 {
            clients.push(server.user(uid).await);
        }
        let users = (1..=3).map(|uid: i64| UserId::try_from(uid).unwrap()).collect();
        let times = vec![SyncTimestamp::ZERO, clock.now()];
        let world = World { random: Random(seed), users, times, batches: Vec::new(), pages: Vec::new() };
        Self { server, clock, model, quota, clients, world, seed, log: VecDeque::new(), statuses: BTreeMap::new() }
    }

    async fn step(&mut self, number: usize) {
        self.clock.advance(match self.world.random.below(100) {
            0..85 => self.world.random.below(40) as i64,
            85..98 => self.world.random.below(4000) as i64,
            98 => 3_600_000,
            _ => 7_200_001,
        });
        let operation = self.world.next();
        let expected = loop {
            match self.expected(&operation).await {
                Ok(expected) => break expected,
                // The server would wait for the clock, which stands still.
                Err(DbError::Fault(Fault::Unavailable(_))) => self.clock.advance(100),
                Err(error) => break Expected::refusal(&error),
            }
        };
        self.log.push_back(format!("{number} at {}: {operation:?}", self.clock.now()));
        if self.log.len() > SHOWN {
            self.log.pop_front();
        }
        let answer = self.send(&operation).await;
        self.compare(&operation, expected, &answer);
    }

    async fn send(&mut self, operation: &Operation) -> Response {
        let build = |mut request: testclient::Request| {
            for (name, value) in &operation.headers {
                request = request.header(name, value);
            }
            match &operation.body {
                Some(body) => request.body(body.as_str()),
                None => request,
            }
        };
        self.clients[operation.user].send(operation.method, &operation.target, build).await
    }

    /// What the model answers.
    async fn expected(&self, operation: &Operation) -> DbResult<Expected> {
        let (db, condition) = (&self.model, operation.condition);
        let user = self.world.users[operation.user];
        let posted = |name: &str, value: Value, changes: &[BsoChange]| {
            let success: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
            json!({ name: value, "success": success, "failed": operation.failed })
        };
        Ok(match operation.what.clone() {
            What::Collections => Expected::by_name(db.info_collections(user, condition).await?, number),
            What::Counts => Expected::by_name(db.info_collection_counts(user, condition).await?, |count| json!(count)),
            What::Usage => Expected::by_name(db.info_collection_usage(user, condition).await?, kilobytes),
            What::Quota => {
                let used = db.info_quota(user, condition).await?;
                Expected::read(used.last_modified, json!([kilobytes(used.value), self.quota.map(kilobytes)]))
            }
            What::List { at, query, full, .. } => {
                let mut bsos: Vec<Bso> = Vec::new();
                let page = db.get_bsos(&at, &query, condition, &mut bsos).await?;
                let items: Vec<Value> =
                    bsos.iter().map(|bso| if full { record(bso) } else { json!(bso.id.as_str()) }).collect();
                let (records, next) = (Some(items.len()), page.value);
                Expected { records, next, ..Expected::read(page.last_modified, json!(items)) }
            }
            What::Bso(at) => {
                let bso = db.get_bso(&at, condition).await?;
                Expected::read(bso.modified, record(&bso))
            }
            What::Put(at, change) => {
                let written = db.put_bso(&at, change, condition).await?;
                Expected::write(written, number(written.modified))
            }
            What::Post(at, changes) => {
                let written = db.post_bsos(&at, changes.clone(), condition).await?;
                Expected::write(written, posted("modified", number(written.modified), &changes))
            }
            What::Create(at, changes) => {
                let opened = db.create_batch(&at, changes.clone(), condition).await?;
                let body = posted("batch", json!("?"), &changes);
                Expected { status: 202, batch: Some(opened.value), ..Expected::read(opened.last_modified, body) }
            }
            What::Append(at, batch, changes) => {
                let appended = db.append_to_batch(&at, &batch, changes.clone(), condition).await?;
                Expected {
                    status: 202,
                    ..Expected::read(appended.last_modified, posted("batch", json!("?"), &changes))
                }
            }
            What::Commit(at, batch, changes) => {
                let written = db.commit_batch(&at, &batch, changes.clone(), condition).await?;
                Expected::write(written, posted("modified", number(written.modified), &changes))
            }
            What::DeleteBso(at) => Expected::deletion(Deletion::Done(db.delete_bso(&at, condition).await?)),
            What::DeleteBsos(at, ids) => Expected::deletion(db.delete_bsos(&at, &ids, condition).await?),
            What::DeleteCollection(at) => Expected::deletion(db.delete_collection(&at, condition).await?),
            What::DeleteStore => Expected::write(db.delete_store(user, condition).await?, json!({})),
        })
    }

    fn compare(&mut self, operation: &Operation, expected: Expected, answer: &Response) {
        *self.statuses.entry(answer.status).or_default() += 1;
        self.same("status", &expected.status, &answer.status, answer);
        let last_modified = expected.last_modified.map(|time| time.to_string());
        self.same("X-Last-Modified", &last_modified.as_deref(), &answer.header("X-Last-Modified"), answer);
        let now = self.clock.now();
        let stamp = match expected.last_modified {
            Some(time) if expected.is_write || time > now => time,
            _ => now,
        };
        self.same("X-Weave-Timestamp", &Some(stamp.to_string().as_str()), &answer.header("X-Weave-Timestamp"), answer);
        let records = expected.records.map(|records| records.to_string());
        self.same("X-Weave-Records", &records.as_deref(), &answer.header("X-Weave-Records"), answer);
        let quota_left = expected.quota_left.map(|bytes| bytes as f64 / 1024.0);
        let told = answer.header("X-Weave-Quota-Remaining").map(|kb| kb.parse::<f64>().unwrap());
        let same = quota_left.zip(told).map_or(quota_left == told, |(expected, told)| (expected - told).abs() < 0.01);
        self.same("X-Weave-Quota-Remaining", &true, &same, answer);
        let (body, batch) = self.body(operation, answer);
        self.same("body", &expected.body, &body, answer);
        let offset = answer.header("X-Weave-Next-Offset");
        self.same("a next page", &expected.next.is_some(), &offset.is_some(), answer);

        if expected.is_write {
            self.world.times.extend(expected.last_modified);
        }
        if let (What::Create(at, _), Some(model), Some(server)) = (&operation.what, expected.batch, batch) {
            self.world.batches.push(OpenBatch { at: at.clone(), server, model });
        }
        if let (What::List { at, query, full, .. }, Some(after), Some(offset)) =
            (&operation.what, expected.next, offset)
        {
            // What was added last is not part of the query.
            let target = operation.target.split("limit=").next().unwrap().split("offset=").next().unwrap().to_owned();
            let query = BsoQuery { limit: None, after: None, ..query.clone() };
            let (at, offset) = (at.clone(), offset.to_owned());
            self.world.pages.push(OpenPages { user: operation.user, target, at, query, full: *full, offset, after });
            if self.world.pages.len() > 6 {
                self.world.pages.remove(0);
            }
        }
    }

    /// The body in the form that the model has, and the batch id that was taken out of it.
    fn body(&self, operation: &Operation, answer: &Response) -> (Value, Option<String>) {
        if answer.body.is_empty() && answer.status == 304 {
            return (Value::Null, None);
        }
        if answer.status == 200 && matches!(operation.what, What::List { lines: true, .. }) {
            let values: Vec<Value> = answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            return (Value::from(values), None);
        }
        let mut body = answer.json();
        if let Some(failed) = body.get_mut("failed") {
            // The reasons are the server's own.
            let mut ids: Vec<&String> = failed.as_object().unwrap().keys().collect();
            ids.sort_by_key(|id| operation.failed.iter().position(|known| known == *id));
            *failed = json!(ids);
        }
        let batch = body.get_mut("batch").map(|batch| std::mem::replace(batch, json!("?")));
        (
            body,
            batch.map(|batch| batch.as_str().unwrap_or_else(|| self.fail("the batch is no text", answer)).to_owned()),
        )
    }

    fn same<T: PartialEq + std::fmt::Debug>(&self, what: &str, expected: &T, found: &T, answer: &Response) {
        if expected != found {
            self.fail(&format!("{what}: expected {expected:?}, found {found:?}"), answer);
        }
    }

    fn fail(&self, difference: &str, answer: &Response) -> ! {
        let story: Vec<&str> = self.log.iter().map(String::as_str).collect();
        let story = story.join("\n  ");
        panic!("seed {}, the last operations:\n  {story}\n{difference}\nin {answer:?}", self.seed);
    }

    /// All that each user can see.
    async fn compare_everything(&mut self) {
        for user in 0..self.clients.len() {
            let mut targets = vec![
                ("/info/collections".to_owned(), What::Collections),
                ("/info/collection_counts".to_owned(), What::Counts),
                ("/info/collection_usage".to_owned(), What::Usage),
                ("/info/quota".to_owned(), What::Quota),
            ];
            let id = self.world.users[user];
            for (collection, _) in self.model.info_collections(id, Precondition::None).await.unwrap().value {
                let at = syncstorage_db_common::CollectionRef { user: id, collection };
                let target = format!("/storage/{}?full&sort=oldest", at.collection);
                targets.push((target, What::List { at, query: BsoQuery::default(), full: true, lines: false }));
            }
            for (target, what) in targets {
                let (headers, failed, condition) = (Vec::new(), Vec::new(), Precondition::None);
                let operation = Operation { user, method: "GET", target, headers, body: None, what, condition, failed };
                let expected = self.expected(&operation).await.unwrap();
                let answer = self.send(&operation).await;
                self.compare(&operation, expected, &answer);
            }
        }
    }
}

async fn run(seed: u64, quota: Option<u64>) {
    let set = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let operations = set("HTTP_MODEL_OPERATIONS").unwrap_or(2000);
    let mut run = Run::start(set("HTTP_MODEL_SEED").unwrap_or(seed), quota).await;
    for number in 0..usize::try_from(operations).unwrap() {
        run.step(number).await;
        if number % 500 == 499 {
            run.compare_everything().await;
        }
    }
    // What is only ever refused compares nothing.
    for status in [200, 202, 304, 400, 404, 412].into_iter().chain(quota.map(|_| 403)) {
        let count = run.statuses.get(&status).copied().unwrap_or(0);
        assert!(count as u64 * 500 > operations, "{status}: {count} of {:?}", run.statuses);
    }
    let faults: Vec<String> = run.server.log_lines().into_iter().filter(|line| line.starts_with("ERRO")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn every_answer_is_what_the_model_says() {
    run(1, None).await;
}

#[tokio::test]
async fn every_answer_is_what_the_model_says_with_another_seed() {
    run(2, None).await;
}

#[tokio::test]
async fn every_answer_is_what_the_model_says_with_a_quota() {
    run(3, Some(60)).await;
}
