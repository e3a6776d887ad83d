//! Conditions: compared exactly, with the right resource, and nothing happens where one does not hold.

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Fixture, TestUser, change, id};
use crate::{BatchId, BsoQuery, DbError, DbResult, Precondition, SyncTimestamp, TimeBound};

/// A request that takes a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Collections,
    Counts,
    Usage,
    Quota,
    Read,
    ReadByIds,
    Get,
    Put,
    PutTtl,
    Post,
    PostNothing,
    DeleteBso,
    DeleteBsos,
    DeleteNoBsos,
    DeleteCollection,
    DeleteStore,
    CreateBatch,
    Append,
    Commit,
}

const READS: [Call; 7] =
    [Call::Collections, Call::Counts, Call::Usage, Call::Quota, Call::Read, Call::ReadByIds, Call::Get];
const WRITES: [Call; 9] = [
    Call::Put,
    Call::PutTtl,
    Call::Post,
    Call::PostNothing,
    Call::DeleteBso,
    Call::DeleteBsos,
    Call::DeleteNoBsos,
    Call::DeleteCollection,
    Call::DeleteStore,
];
const BATCHES: [Call; 3] = [Call::CreateBatch, Call::Append, Call::Commit];

/// A user with a record `a` in `c` that is older than `c`, which is older than the store, and with an open batch.
struct Scene {
    user: TestUser,
    batch: BatchId,
    record: SyncTimestamp,
    collection: SyncTimestamp,
    store: SyncTimestamp,
}

impl Scene {
    async fn set(fixture: &Fixture) -> Self {
        let user = fixture.user();
        let record = user.put("c", change("a").payload("old")).await;
        fixture.clock.advance(1000);
        let collection = user.put("c", change("b")).await;
        fixture.clock.advance(1000);
        let store = user.put("other", change("a")).await;
        let batch = user.create_batch("c", vec![change("new").payload("staged")]).await;
        fixture.clock.advance(1000);
        Self { user, batch, record, collection, store }
    }

    /// The last-modified time that the condition of a call is compared with.
    fn resource(&self, call: Call) -> SyncTimestamp {
        match call {
            Call::Collections | Call::Counts | Call::Usage | Call::Quota | Call::DeleteStore => self.store,
            Call::Get | Call::Put | Call::PutTtl | Call::DeleteBso => self.record,
            Call::Read
            | Call::ReadByIds
            | Call::Post
            | Call::PostNothing
            | Call::DeleteBsos
            | Call::DeleteNoBsos
            | Call::DeleteCollection
            | Call::CreateBatch
            | Call::Append
            | Call::Commit => self.collection,
        }
    }

    async fn call(&self, call: Call, condition: Precondition) -> DbResult<()> {
        let (user, db) = (&self.user, &self.user.db);
        let at = user.at("c");
        let changes = vec![change("a").payload("new"), change("z")];
        match call {
            Call::Collections => db.info_collections(user.id, condition).await.map(drop),
            Call::Counts => db.info_collection_counts(user.id, condition).await.map(drop),
            Call::Usage => db.info_collection_usage(user.id, condition).await.map(drop),
            Call::Quota => db.info_quota(user.id, condition).await.map(drop),
            Call::Read => user.try_read("c", &BsoQuery::default(), condition).await.map(drop),
            Call::ReadByIds => {
                let query = BsoQuery { ids: Some(vec![id("absent")]), limit: Some(1), ..BsoQuery::default() };
                user.try_read("c", &query, condition).await.map(drop)
            }
            Call::Get => db.get_bso(&user.bso_at("c", "a"), condition).await.map(drop),
            Call::Put => user.try_put("c", change("a").payload("new"), condition).await.map(drop),
            Call::PutTtl => user.try_put("c", change("a").ttl(0), condition).await.map(drop),
            Call::Post => user.try_post("c", changes, condition).await.map(drop),
            Call::PostNothing => user.try_post("c", Vec::new(), condition).await.map(drop),
            Call::DeleteBso => db.delete_bso(&user.bso_at("c", "a"), condition).await.map(drop),
            Call::DeleteBsos => db.delete_bsos(&at, &[id("a"), id("b")], condition).await.map(drop),
            Call::DeleteNoBsos => db.delete_bsos(&at, &[], condition).await.map(drop),
            Call::DeleteCollection => db.delete_collection(&at, condition).await.map(drop),
            Call::DeleteStore => db.delete_store(user.id, condition).await.map(drop),
            Call::CreateBatch => db.create_batch(&at, changes, condition).await.map(drop),
            Call::Append => db.append_to_batch(&at, &self.batch, changes, condition).await.map(drop),
            Call::Commit => db.commit_batch(&at, &self.batch, changes, condition).await.map(drop),
        }
    }
}

/// So many microseconds after `time`.
fn near(time: SyncTimestamp, micros: i64) -> TimeBound {
    let micros = time.as_ms() * 1000 + micros;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000).parse().unwrap()
}

fn bound(text: &str) -> TimeBound {
    text.parse().unwrap()
}

/// The bounds at or after a time.
fn not_before(time: SyncTimestamp) -> Vec<TimeBound> {
    let mut bounds = vec![time.into(), bound("4102405200000"), bound("99999999999999999999999.9999")];
    bounds.extend([1, 10_000].map(|micros| near(time, micros)));
    bounds
}

/// The bounds before a time.
fn before(time: SyncTimestamp) -> Vec<TimeBound> {
    let mut bounds = vec![bound("0"), bound("0.001")];
    bounds.extend([-1, -10_000].map(|micros| near(time, micros)));
    bounds
}

/// The conditions that hold for a resource of this time.
fn holding(time: SyncTimestamp) -> Vec<Precondition> {
    let unmodified = not_before(time).into_iter().map(Precondition::UnmodifiedSince);
    let modified = before(time).into_iter().map(Precondition::ModifiedSince);
    unmodified.chain(modified).chain([Precondition::None]).collect()
}

/// Checks one call under every kind of condition.
async fn assert_conditions(fixture: &Fixture, call: Call) {
    let scene = Scene::set(fixture).await;
    let resource = scene.resource(call);
    let unchanged = scene.user.everything().await;
    for bound in before(resource) {
        let refused = scene.call(call, Precondition::UnmodifiedSince(bound)).await;
        assert_is!(refused, Err(DbError::PreconditionFailed(time)) if time == resource, "{call:?} {bound:?}");
    }
    for bound in not_before(resource) {
        let refused = scene.call(call, Precondition::ModifiedSince(bound)).await;
        assert_is!(refused, Err(DbError::NotModified(time)) if time == resource, "{call:?} {bound:?}");
    }
    assert_eq!(scene.user.everything().await, unchanged, "{call:?}");
    if READS.contains(&call) {
        for condition in holding(resource) {
            assert_is!(scene.call(call, condition).await, Ok(()), "{call:?} {condition:?}");
        }
        return;
    }
    for number in 0..holding(resource).len() {
        // Each call changes its scene; the times of the next one are later.
        let scene = Scene::set(fixture).await;
        let condition = holding(scene.resource(call))[number];
        assert_is!(scene.call(call, condition).await, Ok(()), "{call:?} {condition:?}");
    }
}

/// Each of them, against the store, the collection or the record.
pub async fn a_condition_of_a_read_is_compared_with_its_resource(backend: &Backend) {
    let fixture = backend.fixture().await;
    for call in READS {
        assert_conditions(&fixture, call).await;
    }
}

/// Each of them; a write that is refused changes nothing.
pub async fn a_condition_of_a_write_is_compared_with_its_resource(backend: &Backend) {
    let fixture = backend.fixture().await;
    for call in WRITES {
        assert_conditions(&fixture, call).await;
    }
}

/// On every request of it, and with the collection.
pub async fn a_condition_of_a_batch_is_compared_with_the_collection(backend: &Backend) {
    let fixture = backend.fixture().await;
    for call in BATCHES {
        assert_conditions(&fixture, call).await;
    }
}

/// Neither what the refused request brought is in it, nor has what it held gone.
pub async fn a_refused_condition_leaves_the_batch_as_it_was(backend: &Backend) {
    let fixture = backend.fixture().await;
    let scene = Scene::set(&fixture).await;
    let never = Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into());
    assert_is!(scene.call(Call::Append, never).await, Err(DbError::PreconditionFailed(_)));
    assert_is!(scene.call(Call::Commit, never).await, Err(DbError::PreconditionFailed(_)));
    scene.user.commit("c", &scene.batch, Vec::new()).await;
    assert_eq!(scene.user.ids("c").await, ["a", "b", "new"]);
    assert_eq!(scene.user.payload("c", "a").await, "old");
    assert_eq!(scene.user.payload("c", "new").await, "staged");
}

/// "Someone else wrote: start over" is what a client understands best.
pub async fn a_condition_is_judged_before_the_batch_is_looked_for(backend: &Backend) {
    let fixture = backend.fixture().await;
    let mut scene = Scene::set(&fixture).await;
    scene.batch = BatchId("no-such-batch".to_owned());
    let never = Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into());
    for call in [Call::Append, Call::Commit] {
        assert_is!(scene.call(call, never).await, Err(DbError::PreconditionFailed(_)), "{call:?}");
        assert_is!(scene.call(call, Precondition::None).await, Err(DbError::BatchNotFound), "{call:?}");
    }
}

/// It is not found, whatever the condition says.
pub async fn an_absent_record_is_not_found_under_any_condition(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = Scene::set(&fixture).await.user;
    for bound in ["0", "1700000000", "4102405200000"].map(bound) {
        for condition in [Precondition::ModifiedSince(bound), Precondition::UnmodifiedSince(bound)] {
            for at in [user.bso_at("c", "absent"), user.bso_at("absent", "a")] {
                assert_is!(user.db.get_bso(&at, condition).await, Err(DbError::NotFound), "{condition:?}");
            }
        }
        for at in [user.bso_at("c", "absent"), user.bso_at("absent", "a")] {
            let deleted = user.db.delete_bso(&at, Precondition::UnmodifiedSince(bound)).await;
            assert_is!(deleted, Err(DbError::NotFound), "{bound:?}");
        }
    }
}

/// What is not there was last modified at zero: "unmodified since 0" creates, and only that.
pub async fn what_is_absent_was_never_modified(backend: &Backend) {
    let fixture = backend.fixture().await;
    let never = Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into());
    let user = fixture.user();
    user.db.info_collections(user.id, never).await.unwrap();
    let since = Precondition::ModifiedSince(SyncTimestamp::ZERO.into());
    let refused = user.db.info_collections(user.id, since).await;
    assert_is!(refused, Err(DbError::NotModified(SyncTimestamp::ZERO)));
    let refused = user.try_read("c", &BsoQuery::default(), since).await;
    assert_is!(refused, Err(DbError::NotModified(SyncTimestamp::ZERO)));

    user.try_put("c", change("a"), never).await.unwrap();
    let time = user.try_put("c", change("b"), never).await.unwrap().modified;
    assert_is!(user.try_put("c", change("a"), never).await, Err(DbError::PreconditionFailed(_)));
    let refused = user.try_post("c", vec![change("d")], never).await;
    assert_is!(refused, Err(DbError::PreconditionFailed(at)) if at == time);
    user.try_post("new", vec![change("d")], never).await.unwrap();

    user.db.delete_bsos(&user.at("absent"), &[id("a")], never).await.unwrap();
    user.db.delete_collection(&user.at("absent"), never).await.unwrap();
    user.db.create_batch(&user.at("absent"), vec![change("a")], never).await.unwrap();
    fixture.user().db.delete_store(fixture.user().id, never).await.unwrap();
}

/// A deleted record or collection counts as absent; the store remembers.
pub async fn what_was_deleted_was_never_modified_but_the_store(backend: &Backend) {
    let fixture = backend.fixture().await;
    let never = Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into());
    let user = fixture.user();
    user.put("c", change("a")).await;
    user.delete_bso("c", "a").await;
    user.try_put("c", change("a"), never).await.unwrap();
    user.delete_collection("c").await;
    user.try_post("c", vec![change("a")], never).await.unwrap();
    let time = user.delete_store().await;
    let refused = user.db.info_quota(user.id, never).await;
    assert_is!(refused, Err(DbError::PreconditionFailed(at)) if at == time);
    let refused = user.db.delete_store(user.id, never).await;
    assert_is!(refused, Err(DbError::PreconditionFailed(at)) if at == time);
    assert_eq!(user.store_time().await, time);
}

/// The record's own `modified` counts, not the time of the last write to it.
pub async fn a_record_whose_ttl_was_changed_is_unmodified(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let modified = user.put("c", change("a").payload("x")).await;
    fixture.clock.advance(1000);
    user.put("c", change("a").ttl(600)).await;
    let unmodified = Precondition::UnmodifiedSince(modified.into());
    user.db.get_bso(&user.bso_at("c", "a"), unmodified).await.unwrap();
    user.try_put("c", change("a").payload("y"), unmodified).await.unwrap();
}
