//! Makes up requests for the comparison with the model, together with what each one means.

use serde_json::{Value, json};
use syncstorage_db_common::testing::{Fields, change, id, name};
use syncstorage_db_common::{
    BatchId, BsoChange, BsoId, BsoQuery, BsoRef, CollectionRef, Cursor, Precondition, Sort, SyncTimestamp, TimeBound,
    UserId,
};

use crate::check::encoded;

const COLLECTIONS: [&str; 3] = ["bookmarks", "Bookmarks", "x.y-z_0"];
const IDS: [&str; 8] = ["a", "A", "a ", "{b+c}", "d/e", "%41", "f=", "~"];
const PAYLOADS: [&str; 6] =
    ["", "x", "line\nline \"quoted\" \\", "🦊 é", "0123456789012345678901234567890123456789", "null"];

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Collections,
    Counts,
    Usage,
    Quota,
    List { at: CollectionRef, query: BsoQuery, full: bool, lines: bool },
    Bso(BsoRef),
    Put(CollectionRef, BsoChange),
    Post(CollectionRef, Vec<BsoChange>),
    Create(CollectionRef, Vec<BsoChange>),
    Append(CollectionRef, BatchId, Vec<BsoChange>),
    Commit(CollectionRef, BatchId, Vec<BsoChange>),
    DeleteBso(BsoRef),
    DeleteBsos(CollectionRef, Vec<BsoId>),
    DeleteCollection(CollectionRef),
    DeleteStore,
}

/// A request, and what it means.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) user: usize,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<String>,
    pub(crate) what: What,
    pub(crate) condition: Precondition,
    /// Ids of records in the body that are invalid.
    pub(crate) failed: Vec<String>,
}

/// A batch as the server and the model know it.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) at: CollectionRef,
    pub(crate) server: String,
    pub(crate) model: BatchId,
}

/// A page sequence that is not at its end.
#[derive(Clone, Debug)]
pub(crate) struct OpenPages {
    pub(crate) user: usize,
    /// The request without limit and offset.
    pub(crate) target: String,
    pub(crate) at: CollectionRef,
    pub(crate) query: BsoQuery,
    pub(crate) full: bool,
    pub(crate) offset: String,
    pub(crate) after: Cursor,
}

/// SplitMix64, so that a seed means the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What the requests so far have led to, to make up the next one.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) users: Vec<UserId>,
    /// Times that something had.
    pub(crate) times: Vec<SyncTimestamp>,
    pub(crate) batches: Vec<OpenBatch>,
    pub(crate) pages: Vec<OpenPages>,
}

impl World {
    pub(crate) fn next(&mut self) -> Operation {
        let user = self.random.below(self.users.len());
        let at = CollectionRef { user: self.users[user], collection: name(self.random.pick::<&str>(&COLLECTIONS)) };
        let storage = format!("/storage/{}", at.collection);
        let mut operation = match self.random.below(100) {
            0..4 => plain(user, "GET", "/info/collections".into(), What::Collections),
            4..6 => plain(user, "GET", "/info/collection_counts".into(), What::Counts),
            6..8 => plain(user, "GET", "/info/collection_usage".into(), What::Usage),
            8..10 => plain(user, "GET", "/info/quota".into(), What::Quota),
            10..22 => self.list(user, at),
            22..30 if !self.pages.is_empty() => self.next_page(),
            22..36 => {
                let (target, at) = self.record(&at);
                plain(user, "GET", target, What::Bso(at))
            }
            36..56 => {
                let (target, record) = self.record(&at);
                let (json, change) = self.change(record.id.as_str(), false);
                Operation { body: Some(json.to_string()), ..plain(user, "PUT", target, What::Put(at, change)) }
            }
            56..70 => {
                let query = if self.random.percent(30) { "?batch=true&commit=true" } else { "" };
                self.post(user, format!("{storage}{query}"), |changes| What::Post(at, changes))
            }
            70..75 => self.post(user, format!("{storage}?batch=true"), |changes| What::Create(at, changes)),
            75..88 => self.in_batch(user, &at),
            88..93 => {
                let (target, at) = self.record(&at);
                plain(user, "DELETE", target, What::DeleteBso(at))
            }
            93..96 => {
                let ids: Vec<&str> = (0..self.random.below(4)).map(|_| *self.random.pick(&IDS)).collect();
                let target = format!("{storage}?ids={}", self.ids_value(&ids));
                plain(user, "DELETE", target, What::DeleteBsos(at, ids.into_iter().map(id).collect()))
            }
            96..99 => plain(user, "DELETE", storage, What::DeleteCollection(at)),
            _ => {
                let target = if self.random.percent(50) { "/storage" } else { "" };
                plain(user, "DELETE", target.to_owned(), What::DeleteStore)
            }
        };
        self.add_condition(&mut operation);
        operation
    }

    fn record(&mut self, at: &CollectionRef) -> (String, BsoRef) {
        let key = *self.random.pick(&IDS);
        let raw = self.random.percent(50) && !key.contains([' ', '%']);
        let target = format!("/storage/{}/{}", at.collection, if raw { key.to_owned() } else { encoded(key) });
        (target, BsoRef { user: at.user, collection: at.collection.clone(), id: id(key) })
    }

    fn ids_value(&mut self, ids: &[&str]) -> String {
        let one = |key: &&str| {
            if self.random.percent(50) || key.contains([' ', '%']) { encoded(key) } else { (*key).to_owned() }
        };
        ids.iter().map(one).collect::<Vec<_>>().join(",")
    }

    fn list(&mut self, user: usize, at: CollectionRef) -> Operation {
        let mut query = BsoQuery::default();
        let mut target = format!("/storage/{}?", at.collection);
        let full = self.random.percent(60);
        if full {
            target.push_str("full=1&");
        }
        if self.random.percent(20) {
            let ids: Vec<&str> = (0..self.random.below(6)).map(|_| *self.random.pick(&IDS)).collect();
            target.push_str(&format!("ids={}&", self.ids_value(&ids)));
            query.ids = Some(ids.into_iter().map(id).collect());
        }
        if self.random.percent(25) {
            let (text, bound) = self.bound();
            target.push_str(&format!("newer={text}&"));
            query.newer = Some(bound);
        }
        if self.random.percent(15) {
            let (text, bound) = self.bound();
            target.push_str(&format!("older={text}&"));
            query.older = Some(bound);
        }
        if self.random.percent(75) {
            let (text, sort) =
                *self.random.pick(&[("newest", Sort::Newest), ("oldest", Sort::Oldest), ("index", Sort::Index)]);
            target.push_str(&format!("sort={text}&"));
            query.sort = sort;
        }
        self.page(user, at, target, query, full)
    }

    fn next_page(&mut self) -> Operation {
        let number = self.random.below(self.pages.len());
        let pages = self.pages.swap_remove(number);
        let query = BsoQuery { after: Some(pages.after), ..pages.query };
        self.page(pages.user, pages.at, format!("{}offset={}&", pages.target, pages.offset), query, pages.full)
    }

    fn page(
        &mut self,
        user: usize,
        at: CollectionRef,
        mut target: String,
        mut query: BsoQuery,
        full: bool,
    ) -> Operation {
        if self.random.percent(70) {
            let limit = *self.random.pick(&[0, 1, 1, 2, 2, 3, 5, 100]);
            target.push_str(&format!("limit={limit}"));
            query.limit = Some(limit);
        }
        let lines = self.random.percent(30);
        let mut operation = plain(user, "GET", target, What::List { at, query, full, lines });
        if lines {
            operation.headers.push(("Accept", "application/newlines".into()));
        }
        operation
    }

    /// A record as JSON and as the change that it is; with its id, if that is asked for.
    fn change(&mut self, key: &str, with_id: bool) -> (Value, BsoChange) {
        let mut json = json!({});
        let mut made = change(key);
        if with_id {
            json["id"] = json!(key);
        }
        if self.random.percent(20) {
            json["modified"] = json!(0);
        }
        match self.random.below(100) {
            0..60 => {
                let payload = *self.random.pick(&PAYLOADS);
                json["payload"] = json!(payload);
                made = made.payload(payload);
            }
            60..70 => {
                json["payload"] = Value::Null;
                made = made.null_payload();
            }
            _ => {}
        }
        match self.random.below(100) {
            0..40 => {
                let sortindex = *self.random.pick(&[-999_999_999, -1, 0, 1, 2, 999_999_999]);
                json["sortindex"] = json!(sortindex);
                made = made.sortindex(sortindex);
            }
            40..50 => {
                json["sortindex"] = Value::Null;
                made = made.null_sortindex();
            }
            _ => {}
        }
        match self.random.below(100) {
            0..25 => {
                let ttl = *self.random.pick(&[0, 1, 1, 2, 10, 3600, 999_999_999]);
                json["ttl"] = json!(ttl);
                made = made.ttl(ttl);
            }
            25..35 => {
                json["ttl"] = Value::Null;
                made = made.null_ttl();
            }
            _ => {}
        }
        (json, made)
    }

    fn post(&mut self, user: usize, target: String, what: impl FnOnce(Vec<BsoChange>) -> What) -> Operation {
        let mut records: Vec<Value> = Vec::new();
        let (mut changes, mut failed): (Vec<BsoChange>, Vec<String>) = (Vec::new(), Vec::new());
        for _ in 0..self.random.below(5) {
            let key = *self.random.pick(&IDS);
            if records.iter().any(|record| record["id"] == key) {
                continue;
            }
            let (mut record, change) = self.change(key, true);
            if self.random.percent(8) {
                record[*self.random.pick(&["unknown", "sortindex"])] = json!("1");
                failed.push(key.to_owned());
            } else {
                changes.push(change);
            }
            records.push(record);
        }
        let lines = self.random.percent(30);
        let body = match lines {
            true => records.iter().map(|record| format!("{record}\n")).collect(),
            false => Value::from(records).to_string(),
        };
        let content_type =
            if lines { "application/newlines" } else { *self.random.pick(&["application/json", "text/plain"]) };
        let mut operation = plain(user, "POST", target, what(changes));
        operation.headers.push(("Content-Type", content_type.into()));
        Operation { body: Some(body), failed, ..operation }
    }

    /// An append or a commit: of one of the last batches, mostly at its own place.
    fn in_batch(&mut self, user: usize, at: &CollectionRef) -> Operation {
        let unknown = OpenBatch { at: at.clone(), server: "12345".into(), model: BatchId("unknown".into()) };
        let recent = self.batches.len().saturating_sub(5);
        let mut batch =
            if self.batches.len() > recent { self.random.pick(&self.batches[recent..]).clone() } else { unknown };
        let mut user = user;
        if self.random.percent(93) {
            user = self.users.iter().position(|known| *known == batch.at.user).unwrap();
        } else {
            batch.at = at.clone();
        }
        let target = format!("/storage/{}?batch={}", batch.at.collection, encoded(&batch.server));
        if self.random.percent(40) {
            self.post(user, format!("{target}&commit=true"), |changes| What::Commit(batch.at, batch.model, changes))
        } else {
            self.post(user, target, |changes| What::Append(batch.at, batch.model, changes))
        }
    }

    fn add_condition(&mut self, operation: &mut Operation) {
        let chance = self.random.below(100);
        if chance < 10 && operation.method == "GET" {
            let (text, bound) = self.bound();
            operation.headers.push(("X-If-Modified-Since", text));
            operation.condition = Precondition::ModifiedSince(bound);
        } else if chance < 25 {
            let (text, bound) = self.bound();
            operation.headers.push(("X-If-Unmodified-Since", text));
            operation.condition = Precondition::UnmodifiedSince(bound);
        }
    }

    /// A time that something had, or one next to it.
    fn bound(&mut self) -> (String, TimeBound) {
        let text = match self.random.below(20) {
            0 => "0".to_owned(),
            1 => "0.00".to_owned(),
            2 => "4102405200000".to_owned(),
            _ => {
                let recent = self.times.len().saturating_sub(12);
                let time = *self.random.pick(&self.times[recent..]);
                let near = *self.random.pick(&[-10_000, -5_000, -1, 0, 0, 0, 0, 1, 5_000, 10_000, 2_000_000]);
                let micros = (time.as_ms() * 1000 + near).max(0);
                let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
                if self.random.percent(50) { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
            }
        };
        let bound = text.parse().unwrap();
        (text, bound)
    }
}

fn plain(user: usize, method: &'static str, target: String, what: What) -> Operation {
    let (headers, failed) = (Vec::new(), Vec::new());
    Operation { user, method, target, headers, body: None, what, condition: Precondition::None, failed }
}
