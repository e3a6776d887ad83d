//! What every backend does alike with the storage as a whole: cases over [`StorageTarget`], stamped by
//! [`storage_archive_conformance!`](crate::storage_archive_conformance).

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::random;
use super::{Everything, Fields, ManualClock, TestUser, change};
use crate::{
    BsoQuery, CollectionRef, Db, DbOptions, Precondition, Quota, Sort, StorageTarget, StoredBso, StoredItem, UserId,
};

/// Stamps one `#[test]` for every case, where it stands.
///
/// `storage_archive_conformance!(open)`, where `open` is an `async fn(DbOptions) -> ArchiveDb` that gives an empty
/// database which nothing else uses.
#[macro_export]
macro_rules! storage_archive_conformance {
    ($open:path) => {
        $crate::storage_archive_conformance! { @cases $open;
            what_is_loaded_is_served_as_it_was
            a_dump_has_the_order_that_it_promises
            what_was_dumped_and_loaded_is_dumped_again_as_it_was
            random_contents_come_over_whole
            it_does_not_matter_where_a_load_is_cut
            a_write_after_a_load_is_later_than_all_that_was_loaded
            a_store_that_was_deleted_keeps_its_time
            expired_records_and_open_batches_stay_behind
            a_clear_leaves_nothing
            what_is_loaded_counts_for_the_quota
            a_dump_sees_one_moment_while_others_write
            a_user_id_and_a_payload_of_the_largest_kind_come_over
        }
    };
    (@cases $open:path; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let opener = $crate::testing::archive::Opener::new($open);
                $crate::testing::archive::run(&opener, $crate::testing::archive::$case);
            }
        )*
    };
}

/// An open database, with what has to live as long as it does.
pub struct ArchiveDb {
    /// As requests see it.
    pub db: Arc<dyn Db>,
    /// As a whole.
    pub archive: Arc<dyn StorageTarget>,
    _guard: Box<dyn Any>,
}

impl ArchiveDb {
    /// A database that needs `guard` to stay alive; `()` where it needs nothing.
    pub fn new(db: Arc<dyn Db>, archive: Arc<dyn StorageTarget>, guard: impl Any) -> Self {
        Self { db, archive, _guard: Box::new(guard) }
    }

    fn user(&self, id: i64) -> TestUser {
        TestUser { db: Arc::clone(&self.db), id: UserId::try_from(id).unwrap() }
    }

    async fn dump(&self, now_ms: i64) -> Vec<StoredItem> {
        let mut items = Vec::new();
        self.archive.dump(now_ms, &mut items).await.unwrap();
        items
    }
}

impl std::fmt::Debug for ArchiveDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArchiveDb")
    }
}

type Open = Box<dyn Fn(DbOptions) -> Pin<Box<dyn Future<Output = ArchiveDb>>>>;

/// How a case opens databases.
pub struct Opener {
    open: Open,
    /// The clock of all of them.
    pub clock: ManualClock,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opener")
    }
}

impl Opener {
    /// `open` gives an empty database that nothing else uses.
    pub fn new<F: Future<Output = ArchiveDb> + 'static>(open: impl Fn(DbOptions) -> F + 'static) -> Self {
        Self { open: Box::new(move |options| Box::pin(open(options))), clock: ManualClock::default() }
    }

    fn options(&self) -> DbOptions {
        DbOptions { clock: self.clock.clock(), ..DbOptions::default() }
    }

    async fn open(&self) -> ArchiveDb {
        (self.open)(self.options()).await
    }
}

/// Runs one case to its end, on threads of its own.
pub fn run(opener: &Opener, case: impl AsyncFnOnce(&Opener)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { case(opener).await });
}

/// Contents with all the edges: three users, of whom one has deleted the store.
pub async fn fill_with_edges(db: &Arc<dyn Db>, clock: &ManualClock, users: [i64; 3]) {
    let [one, two, gone] = users.map(|id| TestUser { db: Arc::clone(db), id: UserId::try_from(id).unwrap() });
    let longest = "x".repeat(64);
    let ids = ["a", "A", "a ", " ", "~", "{c-d}", "%41", "'\"\\", "z=", &longest];
    one.post("bookmarks", ids.iter().map(|id| change(id).payload(format!("of {id}"))).collect()).await;
    clock.advance(1234);
    one.post("Bookmarks", vec![change("null"), change("0").sortindex(0), change("-1").sortindex(-1)]).await;
    one.post("x.y-z_0", vec![change("max").sortindex(999_999_999), change("min").sortindex(-999_999_999)]).await;
    let payloads = ["", "\u{1}\n\t\r\"\\/", "e\u{301}🦊\u{10ffff}\u{fffd}", "\u{feff}\u{2028}\u{7f} ", "null"];
    one.post("unicode", (0..).map(|n| change(&format!("{n}"))).zip(payloads).map(|(c, p)| c.payload(p)).collect())
        .await;
    clock.advance(5);
    let lives = [("soon", 60), ("day", 86_400), ("longest", 999_999_999)];
    two.post("forms", lives.iter().map(|(id, ttl)| change(id).payload("x").ttl(*ttl)).collect()).await;
    two.put("forms", change("never").payload("x")).await;
    clock.advance(40);
    two.put("forms", change("day").ttl(100)).await;
    two.put("forms", change("never").payload("anew")).await;
    two.put("forms", change("no more").payload("x").ttl(1000)).await;
    two.put("forms", change("no more").null_ttl()).await;
    two.post("empty", Vec::new()).await;
    two.put("once", change("x")).await;
    two.delete_bso("once", "x").await;
    two.put("tabs", change("x")).await;
    two.delete_collection("tabs").await;
    gone.put("history", change("x")).await;
    gone.delete_store().await;
    clock.advance(3000);
}

/// All that clients of these users see, pages in every order included.
async fn seen(db: &ArchiveDb, users: &[i64]) -> Vec<(Everything, Vec<String>)> {
    let mut seen = Vec::new();
    for user in users.iter().map(|id| db.user(*id)) {
        let mut pages = Vec::new();
        for (collection, _) in user.collections().await {
            for sort in [Sort::Newest, Sort::Oldest, Sort::Index] {
                let mut query = BsoQuery { sort, limit: Some(3), ..BsoQuery::default() };
                loop {
                    let page = user.read(&collection, &query).await;
                    pages.push(format!("{collection} {sort:?} {page:?}"));
                    query.after = page.next;
                    if query.after.is_none() {
                        break;
                    }
                }
            }
        }
        pages.sort();
        seen.push((user.everything().await, pages));
    }
    seen
}

const USERS: [i64; 3] = [7, 12, 4_000_000_000];

/// Two databases: one with the edges, and one that was loaded with what the first one holds.
async fn moved(opener: &Opener) -> [ArchiveDb; 2] {
    let [from, to] = [opener.open().await, opener.open().await];
    fill_with_edges(&from.db, &opener.clock, USERS).await;
    to.archive.load(from.dump(opener.clock.now_ms()).await).await.unwrap();
    [from, to]
}

/// Records, times, pages, sums: a client cannot tell the two apart, nor after the same writes to both.
pub async fn what_is_loaded_is_served_as_it_was(opener: &Opener) {
    let [from, to] = moved(opener).await;
    assert_eq!(seen(&to, &USERS).await, seen(&from, &USERS).await);
    for db in [&from, &to] {
        let user = db.user(USERS[1]);
        user.put("forms", change("day").payload("y")).await;
        user.put("forms", change("soon").sortindex(4)).await;
        user.delete_bso("forms", "longest").await;
        user.post("Forms", vec![change("x")]).await;
    }
    assert_eq!(seen(&to, &USERS).await, seen(&from, &USERS).await);
    opener.clock.advance(61_000);
    assert_eq!(seen(&to, &USERS).await, seen(&from, &USERS).await, "the ends of records have come over");
    opener.clock.advance(200_000);
    assert_eq!(seen(&to, &USERS).await, seen(&from, &USERS).await);
}

/// Users by number, collections by name and records by id, byte for byte, each below what it belongs to.
pub async fn a_dump_has_the_order_that_it_promises(opener: &Opener) {
    let db = opener.open().await;
    fill_with_edges(&db.db, &opener.clock, [12, 7, 9]).await;
    let items = db.dump(opener.clock.now_ms()).await;
    let place = |item: &StoredItem| match item {
        StoredItem::Store { user, .. } => (user.get(), None, None),
        StoredItem::Collection { at, .. } => (at.user.get(), Some(at.collection.to_string()), None),
        StoredItem::Bso(StoredBso { at, bso, .. }) => {
            (at.user.get(), Some(at.collection.to_string()), Some(bso.id.to_string()))
        }
    };
    let places: Vec<_> = items.iter().map(place).collect();
    assert!(places.is_sorted() && places.windows(2).all(|two| two[0] != two[1]), "{places:#?}");
    let parents = |place: &(i64, Option<String>, Option<String>)| match place {
        (user, Some(_), None) => Some((*user, None, None)),
        (user, Some(collection), Some(_)) => Some((*user, Some(collection.clone()), None)),
        _ => None,
    };
    assert!(places.iter().filter_map(parents).all(|parent| places.contains(&parent)));
    let count = |wanted: fn(&StoredItem) -> bool| items.iter().filter(|item| wanted(item)).count();
    assert_eq!(count(|item| matches!(item, StoredItem::Store { .. })), 3);
    assert_eq!(count(|item| matches!(item, StoredItem::Collection { .. })), 7, "those without records, too");
    assert_eq!(count(|item| matches!(item, StoredItem::Bso(_))), 10 + 3 + 2 + 5 + 5);
}

/// Item for item.
pub async fn what_was_dumped_and_loaded_is_dumped_again_as_it_was(opener: &Opener) {
    let [from, to] = moved(opener).await;
    let now_ms = opener.clock.now_ms();
    let items = to.dump(now_ms).await;
    assert_eq!(items, from.dump(now_ms).await);
    let never = |id: &str| {
        let bsos = items.iter().filter_map(|item| if let StoredItem::Bso(bso) = item { Some(bso) } else { None });
        bsos.filter(|bso| bso.bso.id.as_str() == id).all(|bso| bso.expiry.is_none())
    };
    assert!(never("never") && never("no more") && never("a") && !never("longest") && !never("day"));
}

/// What operations of all kinds left.
pub async fn random_contents_come_over_whole(opener: &Opener) {
    let [from, to] = [opener.open().await, opener.open().await];
    let users: Vec<i64> = (1..=4).collect();
    random::fill(&from.db, &opener.clock, &opener.options(), &users, 4, 1500).await;
    let now_ms = opener.clock.now_ms();
    let items = from.dump(now_ms).await;
    assert!(items.len() > 30, "the operations leave something: {items:?}");
    to.archive.load(items.clone()).await.unwrap();
    assert_eq!(to.dump(now_ms).await, items);
    assert_eq!(seen(&to, &users).await, seen(&from, &users).await);
}

/// In the middle of a user or of a collection.
pub async fn it_does_not_matter_where_a_load_is_cut(opener: &Opener) {
    let [from, to] = [opener.open().await, opener.open().await];
    fill_with_edges(&from.db, &opener.clock, USERS).await;
    let items = from.dump(opener.clock.now_ms()).await;
    for item in &items {
        to.archive.load(vec![item.clone()]).await.unwrap();
    }
    assert_eq!(to.dump(opener.clock.now_ms()).await, items);
    assert_eq!(seen(&to, &USERS).await, seen(&from, &USERS).await);
}

/// Even when the clock is behind: the store's time has come over.
pub async fn a_write_after_a_load_is_later_than_all_that_was_loaded(opener: &Opener) {
    let [from, to] = moved(opener).await;
    let latest = from.user(USERS[0]).store_time().await;
    opener.clock.advance(-3_600_000);
    let user = to.user(USERS[0]);
    assert!(user.put("bookmarks", change("new")).await > latest);
    let unmodified = Precondition::UnmodifiedSince(latest.into());
    assert!(
        user.try_put("bookmarks", change("new"), unmodified).await.is_err(),
        "the condition knows of the new write"
    );
}

/// A client that has seen that time must never see an earlier one.
pub async fn a_store_that_was_deleted_keeps_its_time(opener: &Opener) {
    let [from, to] = moved(opener).await;
    let [before, after] = [&from, &to].map(|db| db.user(USERS[2]));
    assert_eq!(after.store_time().await, before.store_time().await);
    assert!(after.collections().await.is_empty());
    opener.clock.advance(-3_600_000);
    assert!(after.put("history", change("x")).await > before.store_time().await);
}

/// What is absent for clients is absent; a batch that was open is unknown at the other place.
pub async fn expired_records_and_open_batches_stay_behind(opener: &Opener) {
    let [from, to] = [opener.open().await, opener.open().await];
    let user = from.user(7);
    user.post("tabs", vec![change("stays").ttl(11), change("goes").ttl(10)]).await;
    let batch = user.create_batch("tabs", vec![change("staged")]).await;
    // Of a user and a collection that are not there yet.
    from.user(8).create_batch("new", vec![change("staged")]).await;
    opener.clock.advance(10_000);
    let items = from.dump(opener.clock.now_ms()).await;
    assert_eq!(items.len(), 3, "a store, a collection and a record: {items:?}");
    to.archive.load(items).await.unwrap();
    let user = to.user(7);
    assert_eq!(user.ids("tabs").await, ["stays"]);
    assert!(user.try_commit("tabs", &batch, Vec::new()).await.is_err());
    opener.clock.advance(1000);
    assert!(user.ids("tabs").await.is_empty());
}

/// A database is as empty as a new one, and can be filled again; times begin anew, which is why it is asked for twice.
pub async fn a_clear_leaves_nothing(opener: &Opener) {
    let [from, to] = [opener.open().await, opener.open().await];
    assert!(from.archive.is_empty().await.unwrap());
    fill_with_edges(&from.db, &opener.clock, USERS).await;
    from.user(7).create_batch("tabs", vec![change("staged")]).await;
    let items = from.dump(opener.clock.now_ms()).await;
    assert!(!from.archive.is_empty().await.unwrap());
    from.archive.clear().await.unwrap();
    assert!(from.archive.is_empty().await.unwrap());
    assert!(from.dump(opener.clock.now_ms()).await.is_empty());
    assert_eq!(from.user(USERS[0]).everything().await, to.user(USERS[0]).everything().await);
    from.archive.load(items.clone()).await.unwrap();
    assert_eq!(from.dump(opener.clock.now_ms()).await, items);
    // A store that was deleted is one that somebody has used.
    to.user(7).put("x", change("x")).await;
    to.user(7).delete_store().await;
    assert!(!to.archive.is_empty().await.unwrap());
}

/// The sums are those of the records.
pub async fn what_is_loaded_counts_for_the_quota(opener: &Opener) {
    let from = opener.open().await;
    from.user(7).post("tabs", vec![change("a").payload("12345"), change("b").payload("é")]).await;
    let quota = Some(Quota { limit: 10, enforce: true });
    let to = (opener.open)(DbOptions { quota, ..opener.options() }).await;
    for item in from.dump(opener.clock.now_ms()).await {
        to.archive.load(vec![item]).await.unwrap();
    }
    let user = to.user(7);
    assert_eq!(user.bytes().await, 7);
    assert_eq!(user.usage().await, [("tabs".to_owned(), 7)]);
    assert_eq!(user.counts().await, [("tabs".to_owned(), 2)]);
    assert!(user.try_put("tabs", change("c").payload("1234"), Precondition::None).await.is_err());
    assert_eq!(user.try_put("tabs", change("c").payload("123"), Precondition::None).await.unwrap().quota_left, Some(0));
}

/// Each POST writes one number into all records of two collections: whatever the moment, a store has one number in each,
/// and the earlier collection is no older than the later one.
pub async fn a_dump_sees_one_moment_while_others_write(opener: &Opener) {
    const RECORDS: usize = 20;
    let db = opener.open().await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers = [1, 2, 3].map(|id| {
        let (user, stop, clock) = (db.user(id), Arc::clone(&stop), opener.clock.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::SeqCst) {
                number += 1;
                // The order of a dump is the other way round: without a snapshot it would meet the second collection
                // of a later write than the first.
                for collection in ["b", "a"] {
                    let record = |n| change(&format!("{n}")).payload(format!("{number}"));
                    user.post(collection, (0..RECORDS).map(record).collect()).await;
                    clock.advance(20);
                }
            }
            number
        })
    });
    while db.user(3).collections().await.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut moments = 0;
    for _ in 0..15 {
        // It never ends later than it began: nothing has expired.
        let items = db.dump(0).await;
        moments += usize::from(is_of_one_moment(&items, RECORDS));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        assert!(writer.await.unwrap() > 2, "the writers write meanwhile");
    }
    assert_eq!(moments, 15);
}

fn is_of_one_moment(items: &[StoredItem], records: usize) -> bool {
    let number_of = |user: i64, name: &str| {
        let of = |at: &CollectionRef| at.user.get() == user && at.collection.as_str() == name;
        let bsos = items.iter().filter_map(|item| match item {
            StoredItem::Bso(bso) if of(&bso.at) => Some(bso),
            _ => None,
        });
        let numbers: Vec<i64> = bsos.clone().map(|bso| bso.bso.payload.parse().unwrap()).collect();
        let time = items.iter().find_map(|item| match item {
            StoredItem::Collection { at, modified } if of(at) => Some(*modified),
            _ => None,
        });
        let whole =
            numbers.is_empty() || numbers.len() == records && numbers.iter().all(|number| *number == numbers[0]);
        let timely = bsos.clone().all(|bso| Some(bso.bso.modified) == time);
        (whole && timely).then(|| numbers.first().copied().unwrap_or(0))
    };
    (1..=3).all(|user| match (number_of(user, "a"), number_of(user, "b")) {
        (Some(a), Some(b)) => a == b || a + 1 == b,
        _ => false,
    })
}

/// Of 63 bits, and of two megabytes.
pub async fn a_user_id_and_a_payload_of_the_largest_kind_come_over(opener: &Opener) {
    let [from, to] = [opener.open().await, opener.open().await];
    let payload = "🦊\n".repeat(500_000);
    for id in [0, i64::MAX] {
        from.user(id).post("a", vec![change("x").payload(payload.clone()), change("y").payload("y")]).await;
    }
    let items = from.dump(opener.clock.now_ms()).await;
    to.archive.load(items.clone()).await.unwrap();
    assert!(to.dump(opener.clock.now_ms()).await == items);
    assert_eq!(to.user(i64::MAX).payload("a", "x").await, payload);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_stamped() {
        let source = include_str!("archive.rs");
        let (_, list) = source.split_once("@cases $open;").unwrap();
        let (list, _) = list.split_once('}').unwrap();
        let stamped: Vec<&str> = list.split_whitespace().collect();
        let cases =
            source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.strip_suffix("(opener: &Opener) {"));
        let cases: Vec<&str> = cases.collect();
        assert_eq!(stamped, cases);
        assert!(cases.len() > 10);
    }
}
