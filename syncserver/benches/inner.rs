//! The inner parts of a request, each on its own: what `tools/bench` sees only as a whole.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run is to stop")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sqlite_engine::{EngineOptions, SqliteEngine, SqliteLocation};
use syncserver::metrics::statsd::Statsd;
use syncserver::metrics::{Answered, Metrics, TimedDb};
use syncserver::settings::{self, StatsdSettings, TrustedProxies};
use syncserver::state::AppState;
use syncserver::token::{TokenKeys, TokenPayload};
use syncserver::web::api_doc::ApiDoc;
use syncserver::web::front_page::FrontPage;
use syncserver::web::hawk::{SignedHost, authenticate};
use syncserver::web::health::Health;
use syncserver::web::output::{ListFormat, ListWriter};
use syncserver::web::parse::{BodyFormat, PostLimits, parse_post};
use syncserver::web::query::{ListRequest, Parameters};
use syncserver::web::request_id::RequestId;
use syncserver::web::route::Route;
use syncstorage_db_common::{
    Bso, BsoChange, BsoId, BsoQuery, BsoRef, Clock, CollectionName, CollectionRef, Db, DbOptions, Patch, Precondition,
    Sink, SyncTimestamp, UserId,
};
use syncstorage_sqlite::{COMPONENT, MIGRATIONS, SqliteDb};
use testclient::{Hawk, Token};
use tokio::runtime::{Builder, Runtime};

const SECRET: &str = "a master secret for benchmarks";
const LIMITS: PostLimits = PostLimits { records: 100, bytes: 2_621_440, record_bytes: 2_621_440 };

fn payload() -> String {
    "QWxsIHRoYXQgYSBzZXJ2ZXIgZ2V0cyB0byBzZWUu".repeat(10)
}

fn tokens(c: &mut Criterion) {
    let keys = TokenKeys::new(SECRET, &[] as &[&str]);
    let payload = TokenPayload { uid: 1, node: "http://localhost".into(), expires: 4e9, ..TokenPayload::default() };
    let id = keys.mint(payload.clone()).unwrap().id;
    c.bench_function("token/mint", |b| b.iter(|| keys.mint(black_box(payload.clone()))));
    c.bench_function("token/verify", |b| b.iter(|| keys.verify(black_box(&id)).is_ok()));
}

fn hawk(c: &mut Criterion) {
    let settings = settings::load(None, [] as [(&str, &str); 0]).unwrap();
    let state = AppState {
        db: Arc::new(database()),
        tokens: None,
        token_keys: Arc::new(TokenKeys::new(SECRET, &[] as &[&str])),
        public_url: settings.public_url.clone(),
        signed_host: SignedHost::OfRequest,
        limits: settings.syncstorage.limits.clone(),
        quota: None,
        backoff: None,
        trusted_proxies: settings.trusted_proxies.clone(),
        retires_at: None,
        spool_folder: None,
        health: Health::default(),
        instance: String::new(),
        front_page: FrontPage::new(&settings.public_url, false),
        api_doc: ApiDoc::new(&settings).unwrap(),
        clock: Clock::system(),
        log: slog::Logger::root(slog::Discard, slog::o!()),
        log_level: slog::Level::Info,
        metrics: Metrics::new(None).unwrap(),
        reporter: None,
    };
    let token = Token::builder(SECRET, 1).build();
    let target = "/1.5/1/info/collections";
    let signed = Hawk {
        ts: 1_700_000_000,
        nonce: "abcdefgh",
        method: "GET",
        target,
        host: "localhost",
        port: 8000,
        hash: None,
        ext: None,
    };
    let request = TestRequest::get()
        .uri(target)
        .insert_header(("Host", "localhost:8000"))
        .insert_header(("Authorization", signed.header(&token.id, token.hmac_key())))
        .param("uid", "1")
        .to_http_request();
    assert!(authenticate(&request, &state, false).is_ok());
    c.bench_function("hawk/authenticate", |b| b.iter(|| authenticate(black_box(&request), &state, false).is_ok()));
}

/// What a request costs only because somebody may want to know about it.
fn figures(c: &mut Criterion) {
    let metrics = Metrics::new(None).unwrap();
    let took = Duration::from_micros(48);
    let answered = Answered { route: Route::InfoCollections, method: &Method::GET, status: 200, took };
    c.bench_function("metrics/answered", |b| b.iter(|| metrics.answered(black_box(answered))));
    c.bench_function("metrics/bytes", |b| b.iter(|| metrics.bytes_out(black_box(Route::InfoCollections), 100)));
    let request = TestRequest::get().uri("/").to_http_request();
    let trusted = TrustedProxies::default();
    c.bench_function("request_id", |b| b.iter(|| RequestId::of(black_box(&request), &trusted).header()));
    let settings = StatsdSettings {
        host: "127.0.0.1".into(),
        port: 9,
        storage_label: "syncstorage".into(),
        tokenserver_label: "syncstorage.tokenserver".into(),
        hostname_tag: false,
    };
    let metrics = Metrics::new(Some(Statsd::new(&settings).unwrap())).unwrap();
    c.bench_function("metrics/answered, StatsD too", |b| b.iter(|| metrics.answered(black_box(answered))));
}

fn json(c: &mut Criterion) {
    let records: Vec<_> =
        (0..100).map(|n| serde_json::json!({ "id": format!("record{n:06}"), "payload": payload() })).collect();
    let body = serde_json::to_vec(&records).unwrap();
    c.bench_function("post/parse 100 records", |b| {
        b.iter(|| parse_post(black_box(&body), BodyFormat::Json, LIMITS).unwrap().changes.len());
    });
    let bsos: Vec<Bso> = (0..100)
        .map(|n| Bso {
            id: BsoId::new(format!("record{n:06}")).unwrap(),
            modified: SyncTimestamp::from_ms(1_700_000_000_000),
            sortindex: Some(n),
            payload: payload(),
        })
        .collect();
    c.bench_function("list/write 100 records", |b| {
        let write = |bsos: Vec<Bso>| {
            let mut list = ListWriter::new(ListFormat::Json);
            bsos.into_iter().for_each(|bso| list.push(bso).unwrap());
            list.count()
        };
        b.iter_batched(|| bsos.clone(), write, BatchSize::SmallInput);
    });
    let collection = CollectionName::new("bookmarks").unwrap();
    c.bench_function("query/parse", |b| {
        b.iter(|| {
            let parameters = Parameters::parse(black_box("full=1&newer=1700000000.00&limit=1000&sort=newest")).unwrap();
            ListRequest::parse(&parameters, &collection).unwrap().full
        });
    });
}

fn database() -> SqliteDb {
    let tables = vec![(COMPONENT, MIGRATIONS)];
    let engine = SqliteEngine::open(&SqliteLocation::Temporary, EngineOptions::default(), tables).unwrap();
    SqliteDb::new(engine, DbOptions::default())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn sqlite(c: &mut Criterion) {
    let runtime = runtime();
    let db = database();
    let user = UserId::try_from(1).unwrap();
    let at = CollectionRef { user, collection: CollectionName::new("bookmarks").unwrap() };
    let change = |n: usize| BsoChange {
        payload: Patch::Set(payload()),
        ..BsoChange::new(BsoId::new(format!("record{n:06}")).unwrap())
    };
    runtime.block_on(db.post_bsos(&at, (0..100).map(change).collect(), Precondition::None)).unwrap();
    c.bench_function("sqlite/info_collections", |b| {
        b.iter(|| runtime.block_on(db.info_collections(user, Precondition::None)).unwrap());
    });
    let db = Arc::new(db);
    let timed = TimedDb::new(Arc::clone(&db) as Arc<dyn Db>, &Metrics::new(None).unwrap());
    c.bench_function("sqlite/info_collections, timed", |b| {
        b.iter(|| runtime.block_on(timed.info_collections(user, Precondition::None)).unwrap());
    });
    let one = BsoRef { user, collection: at.collection.clone(), id: change(5).id };
    c.bench_function("sqlite/get_bso", |b| {
        b.iter(|| runtime.block_on(db.get_bso(&one, Precondition::None)).unwrap());
    });
    let all = BsoQuery::default();
    c.bench_function("sqlite/get_bsos 100", |b| {
        b.iter(|| {
            let mut bsos: Vec<Bso> = Vec::new();
            runtime.block_on(db.get_bsos(&at, &all, Precondition::None, &mut bsos)).unwrap();
            bsos.len()
        });
    });
    // One user may write 100 times a second, so that each write is another user's. Without the disk: the database is a
    // temporary one.
    c.bench_function("sqlite/post_bsos 10", |b| {
        b.iter_custom(|rounds| {
            let changes: Vec<BsoChange> = (0..10).map(change).collect();
            let start = Instant::now();
            for round in 0..rounds {
                let user = UserId::try_from(i64::try_from(round % 5000).unwrap() + 2).unwrap();
                let at = CollectionRef { user, collection: at.collection.clone() };
                runtime.block_on(db.post_bsos(&at, changes.clone(), Precondition::None)).unwrap();
            }
            start.elapsed()
        });
    });
}

criterion_group!(inner, tokens, hawk, figures, json, sqlite);
criterion_main!(inner);
