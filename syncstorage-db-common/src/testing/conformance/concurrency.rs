//! Many requests at once: writers of one user follow each other, and readers see whole states.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, TestUser, change};
use crate::{BsoQuery, DbError, Precondition, SyncTimestamp};

/// Runs tasks that all begin at once, and gives their results in order.
pub(super) async fn at_once<F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(tasks));
    let spawned: Vec<_> = (0..tasks)
        .map(|number| {
            let (barrier, work) = (Arc::clone(&barrier), task(number));
            tokio::spawn(async move {
                barrier.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for handle in spawned {
        results.push(handle.await.expect("the task ends well"));
    }
    results
}

/// Holds only for what is not there.
pub(super) fn never() -> Precondition {
    Precondition::UnmodifiedSince(SyncTimestamp::ZERO.into())
}

/// Exactly one of several is done; the others are told its time.
pub(super) fn assert_one_won<T: std::fmt::Debug>(results: &[Result<T, DbError>], time: SyncTimestamp) {
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert_is!(refused, DbError::PreconditionFailed(at) if *at == time);
    }
}

/// A record that is not there cannot be locked, and yet only one may create it.
pub async fn of_eight_first_puts_of_a_record_one_wins(backend: &Backend) {
    let fixture = backend.fixture().await;
    for known in [false, true] {
        for _ in 0..5 {
            let user = fixture.user();
            if known {
                user.put("c", change("other")).await;
            }
            let results = at_once(8, |n| {
                let user = user.clone();
                async move { user.try_put("c", change("a").payload(n.to_string()), never()).await }
            })
            .await;
            let winner = results.iter().position(Result::is_ok).expect("one wins");
            let bso = user.get("c", "a").await.unwrap();
            assert_one_won(&results, bso.modified);
            assert_eq!(bso.payload, winner.to_string());
            assert_eq!(user.store_time().await, bso.modified);
        }
    }
}

/// Likewise for the collection.
pub async fn of_eight_first_posts_to_a_collection_one_wins(backend: &Backend) {
    let fixture = backend.fixture().await;
    for _ in 0..5 {
        let user = fixture.user();
        let results = at_once(8, |n| {
            let user = user.clone();
            let changes = vec![change("a").payload(n.to_string()), change(&format!("only-{n}"))];
            async move { user.try_post("c", changes, never()).await }
        })
        .await;
        assert_one_won(&results, user.collection_time("c").await);
        let winner = results.iter().position(Result::is_ok).expect("one wins");
        assert_eq!(user.ids("c").await, ["a".to_owned(), format!("only-{winner}")]);
    }
}

/// And for a record that is there: whoever read its time first does not overwrite who wrote since.
pub async fn of_eight_updates_of_one_state_one_wins(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for _ in 0..5 {
        let time = user.put("c", change("a").payload("before")).await;
        let unmodified = Precondition::UnmodifiedSince(time.into());
        let results = at_once(8, |n| {
            let user = user.clone();
            async move {
                if n % 2 == 0 {
                    user.try_put("c", change("a").payload(n.to_string()), unmodified).await
                } else {
                    user.try_post("c", vec![change("a").payload(n.to_string())], unmodified).await
                }
            }
        })
        .await;
        assert_one_won(&results, user.collection_time("c").await);
    }
}

/// Its records are written once.
pub async fn of_eight_commits_of_a_batch_one_wins(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    for round in 0..5 {
        let batch = user.create_batch("c", vec![change(&format!("staged-{round}"))]).await;
        let results = at_once(8, |n| {
            let (user, batch) = (user.clone(), batch.clone());
            async move { user.try_commit("c", &batch, vec![change(&format!("commit-{round}-{n}"))]).await }
        })
        .await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        for refused in results.into_iter().filter_map(Result::err) {
            assert_is!(refused, DbError::BatchNotFound);
        }
        assert_eq!(user.ids("c").await.len(), 2 * (round + 1));
    }
}

/// Each writer sees its own times increase, and no two writes have one time, also while the clock stands still.
pub async fn concurrent_writers_of_one_user_get_distinct_increasing_times(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let times = at_once(8, |n| {
        let user = user.clone();
        async move {
            let (own, key) = (format!("c{}", n % 3), format!("k{n}"));
            let mut times = Vec::new();
            for _ in 0..4 {
                times.push(user.put(&own, change(&key).payload("x")).await);
                times.push(user.post(&own, vec![change(&key).ttl(60), change("shared")]).await);
                times.push(user.put("one", change("shared").payload(n.to_string())).await);
                let batch = user.create_batch("one", vec![change(&key)]).await;
                times.push(user.commit("one", &batch, Vec::new()).await);
                times.push(user.delete_bso(&own, &key).await);
            }
            times
        }
    })
    .await;
    for own in &times {
        assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "{own:?}");
    }
    let mut all: Vec<_> = times.into_iter().flatten().collect();
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "two writes with one time: {all:?}");
    assert_eq!(user.store_time().await, *all.last().unwrap());
    let newest = user.collections().await.into_iter().map(|(_, time)| time).max();
    assert_eq!(newest, all.last().copied());
}

/// The records and the time that come back belong together, and no write is seen by halves.
pub async fn a_reader_sees_whole_states_only(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let done = Arc::new(AtomicBool::new(false));
    let reads = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (user, done, reads) = (user.clone(), Arc::clone(&done), Arc::clone(&reads));
            tokio::spawn(async move {
                let mut last = SyncTimestamp::ZERO;
                while !done.load(Ordering::SeqCst) {
                    let seen = assert_whole(&user).await;
                    assert!(seen >= last, "the store's time goes back: {last} {seen}");
                    last = seen;
                    reads.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                last
            })
        })
        .collect();
    // Until there was enough of both, or a reader has failed.
    let mut round = 0;
    while (round < 40 || reads.load(Ordering::SeqCst) < 60) && !readers.iter().any(JoinHandle::is_finished) {
        fixture.clock.advance(10);
        let changes: Vec<_> =
            (0..10).map(|n| change(&format!("r{n}")).payload(format!("{:03}", round % 1000))).collect();
        match round % 4 {
            0 | 1 => {
                user.post("c", changes).await;
            }
            2 => {
                let batch = user.create_batch("c", changes[..5].to_vec()).await;
                user.commit("c", &batch, changes[5..].to_vec()).await;
            }
            _ => {
                user.delete_collection("c").await;
            }
        }
        round += 1;
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    let end = user.store_time().await;
    for reader in readers {
        assert!(reader.await.expect("the reader ends well") <= end);
    }
}

/// Reads in every way; each answer has to be of one state: ten records of one write, or nothing.
async fn assert_whole(user: &TestUser) -> SyncTimestamp {
    let mut bsos = Vec::new();
    let read = user.db.get_bsos(&user.at("c"), &BsoQuery::default(), Precondition::None, &mut bsos).await.unwrap();
    assert!(bsos.iter().all(|bso| bso.modified == read.last_modified), "{:?} {bsos:?}", read.last_modified);
    assert!(bsos.iter().all(|bso| bso.payload == bsos[0].payload), "{bsos:?}");
    assert_eq!(bsos.len(), if read.last_modified == SyncTimestamp::ZERO { 0 } else { 10 }, "{bsos:?}");

    let listed = user.db.info_collections(user.id, Precondition::None).await.unwrap();
    assert!(listed.value.iter().all(|(_, time)| *time == listed.last_modified), "{listed:?}");
    let counts = user.db.info_collection_counts(user.id, Precondition::None).await.unwrap();
    assert!(counts.value.iter().all(|(_, count)| *count == 10), "{counts:?}");
    let usage = user.db.info_collection_usage(user.id, Precondition::None).await.unwrap();
    assert!(usage.value.iter().all(|(_, bytes)| *bytes == 30), "{usage:?}");
    assert!(usage.last_modified >= counts.last_modified && counts.last_modified >= listed.last_modified);
    usage.last_modified
}

/// All that was appended is there, in whatever order it came.
pub async fn concurrent_appends_all_get_into_the_batch(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let batch = user.create_batch("c", vec![change("shared")]).await;
    at_once(8, |n| {
        let (user, batch) = (user.clone(), batch.clone());
        async move {
            for part in 0..3 {
                let changes = vec![change(&format!("{n}-{part}")).payload("x"), change("shared").sortindex(n as i32)];
                user.append("c", &batch, changes).await;
            }
        }
    })
    .await;
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.ids("c").await.len(), 25);
}

/// The limit holds in sum, however the appends interleave.
pub async fn concurrent_appends_keep_to_the_limits(backend: &Backend) {
    let fixture = backend.with_batch_limits(1000, 100).await;
    let user = fixture.user();
    let batch = user.create_batch("c", Vec::new()).await;
    let results = at_once(8, |n| {
        let (user, batch) = (user.clone(), batch.clone());
        async move { user.try_append("c", &batch, vec![change(&n.to_string()).payload("x".repeat(30))]).await }
    })
    .await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
    user.commit("c", &batch, Vec::new()).await;
    assert_eq!(user.bytes().await, 90);
}

/// A name that nobody used before is made once, and nobody is turned away.
pub async fn first_writes_of_many_users_to_a_new_collection_all_succeed(backend: &Backend) {
    let fixture = backend.fixture().await;
    for _ in 0..5 {
        let name = format!("new-{}", fixture.user().id);
        let users: Vec<_> = (0..8).map(|_| fixture.user()).collect();
        at_once(8, |n| {
            let (user, name) = (users[n].clone(), name.clone());
            async move { user.put(&name, change("a").payload(n.to_string())).await }
        })
        .await;
        for (n, user) in users.iter().enumerate() {
            assert_eq!(user.payload(&name, "a").await, n.to_string());
            assert_eq!(user.collections().await, [(name.clone(), fixture.clock.now())]);
        }
    }
}

/// Wipes among writes: each is done at a time of its own, and what is left was written after the last wipe.
pub async fn wipes_and_writes_follow_each_other(backend: &Backend) {
    let fixture = backend.fixture().await;
    let user = fixture.user();
    let done = at_once(8, |n| {
        let user = user.clone();
        async move {
            let mut done = Vec::new();
            for part in 0..5 {
                let key = format!("{n}-{part}");
                done.push(match n {
                    0 => (None, user.delete_store().await),
                    _ => (Some(key.clone()), user.post("c", vec![change(&key).payload("x")]).await),
                });
            }
            done
        }
    })
    .await;
    let mut done: Vec<_> = done.into_iter().flatten().collect();
    done.sort_by_key(|(_, time)| *time);
    assert!(done.windows(2).all(|pair| pair[0].1 < pair[1].1), "{done:?}");
    let last_wipe = done.iter().rposition(|(key, _)| key.is_none()).expect("there were wipes");
    let left: Vec<_> = done[last_wipe + 1..].iter().filter_map(|(key, _)| key.clone()).collect();
    let seen: Vec<_> = user.all("c").await.into_iter().map(|bso| bso.id.to_string()).collect();
    assert_eq!(seen, left);
}

/// The sum counts, however the writes interleave.
pub async fn concurrent_writes_do_not_pass_the_quota(backend: &Backend) {
    let fixture = backend.with_quota(100).await;
    for _ in 0..3 {
        let user = fixture.user();
        let results = at_once(8, |n| {
            let user = user.clone();
            let written = change(&n.to_string()).payload("x".repeat(30));
            async move { user.try_put(&format!("c{}", n % 4), written, Precondition::None).await }
        })
        .await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
        for refused in results.into_iter().filter_map(Result::err) {
            assert_is!(refused, DbError::OverQuota);
        }
        assert_eq!(user.bytes().await, 90);
    }
}
