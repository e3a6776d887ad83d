//! Two servers on one database: what holds for one process holds for all of them together.

use super::concurrency::{assert_one_won, at_once, never};
use crate::testing::user::assert_is;
use crate::testing::{Backend, Fields, Fixture, TestUser, change};
use crate::{DbError, Precondition, Quota};

/// One user, as each of two servers with equal options knows them.
async fn one_user(backend: &Backend) -> ([Fixture; 2], [TestUser; 2]) {
    let servers = backend.two_fixtures(|_| {}, |_| {}).await;
    let first = servers[0].user();
    let second = servers[1].same_user(first.id);
    (servers, [first, second])
}

/// At once, and with times that follow each other.
pub async fn what_one_server_writes_the_other_one_reads(backend: &Backend) {
    let (_servers, [first, second]) = one_user(backend).await;
    let mut last = first.put("c", change("a").payload("0")).await;
    for round in 1..10 {
        let (writer, reader) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let time = writer.put("c", change("a").payload(round.to_string())).await;
        assert!(time > last);
        assert_eq!(reader.payload("c", "a").await, round.to_string());
        assert_eq!(reader.store_time().await, time);
        last = time;
    }
    assert_eq!(first.everything().await, second.everything().await);
    let deleted = second.delete_store().await;
    assert_eq!((first.collections().await, first.store_time().await), (Vec::new(), deleted));
}

/// A load balancer sends each request where it likes.
pub async fn a_batch_may_go_on_at_another_server(backend: &Backend) {
    let (_servers, [first, second]) = one_user(backend).await;
    let batch = first.create_batch("c", vec![change("a").payload("1")]).await;
    second.append("c", &batch, vec![change("b").payload("2")]).await;
    first.append("c", &batch, vec![change("a").sortindex(1)]).await;
    second.commit("c", &batch, vec![change("d")]).await;
    assert_eq!(first.ids("c").await, ["a", "b", "d"]);
    assert_eq!(first.payload("c", "a").await, "1");
    assert_is!(first.try_append("c", &batch, Vec::new()).await, Err(DbError::BatchNotFound));

    let wiped = first.create_batch("c", vec![change("x")]).await;
    second.delete_collection("c").await;
    assert_is!(first.try_commit("c", &wiped, Vec::new()).await, Err(DbError::BatchNotFound));
}

/// No lock within one process can see to that.
pub async fn of_eight_first_puts_at_two_servers_one_wins(backend: &Backend) {
    let servers = backend.two_fixtures(|_| {}, |_| {}).await;
    for _ in 0..5 {
        let user = servers[0].user();
        let results = at_once(8, |n| {
            let user = servers[n % 2].same_user(user.id);
            async move { user.try_put("c", change("a").payload(n.to_string()), never()).await }
        })
        .await;
        assert_one_won(&results, user.store_time().await);
        let winner = results.iter().position(Result::is_ok).expect("one wins");
        assert_eq!(user.payload("c", "a").await, winner.to_string());
    }
}

/// Whatever server they come through.
pub async fn writers_at_two_servers_get_distinct_increasing_times(backend: &Backend) {
    let servers = backend.two_fixtures(|_| {}, |_| {}).await;
    let user = servers[0].user();
    let times = at_once(6, |n| {
        let user = servers[n % 2].same_user(user.id);
        async move {
            let mut times = Vec::new();
            for _ in 0..5 {
                times.push(user.put(&format!("c{n}"), change("a")).await);
                times.push(user.post("c", vec![change("a").payload("x"), change(&n.to_string())]).await);
            }
            times
        }
    })
    .await;
    assert!(times.iter().all(|own| own.windows(2).all(|pair| pair[0] < pair[1])), "{times:?}");
    let mut all: Vec<_> = times.into_iter().flatten().collect();
    all.sort();
    assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "two writes with one time: {all:?}");
    assert_eq!(user.store_time().await, *all.last().unwrap());
}

/// A backend that keeps numbers for names, and remembers them, must not go wrong when another one makes them.
pub async fn a_new_collection_is_the_same_at_both_servers(backend: &Backend) {
    let (servers, [first, second]) = one_user(backend).await;
    let name = |number: usize| format!("n{number}-{}", first.id);
    for number in 0..4 {
        let name = name(number);
        // The second server has asked for the name before it was there.
        assert_eq!(second.all(&name).await, []);
        first.put(&name, change("a").payload(name.as_str())).await;
        assert_eq!(second.payload(&name, "a").await, name);
        second.delete_collection(&name).await;
        assert_eq!(first.collections().await, []);
        first.put(&name, change("b")).await;
        assert_eq!(second.ids(&name).await, ["b"]);
        second.delete_store().await;
    }
    at_once(8, |n| {
        let (user, name) = (servers[n % 2].same_user(first.id), name(10 + n / 2));
        async move { user.put(&name, change(&n.to_string())).await }
    })
    .await;
    for number in 0..4 {
        assert_eq!(first.ids(&name(10 + number)).await, [(2 * number).to_string(), (2 * number + 1).to_string()]);
    }
}

/// A limit that is lowered finds users over it: they may delete, and write what takes no more room than before.
pub async fn a_user_over_a_lowered_quota_may_only_shrink(backend: &Backend) {
    let quota = |limit| Some(Quota { limit, enforce: true });
    let [before, after] =
        backend.two_fixtures(|options| options.quota = quota(1000), |options| options.quota = quota(100)).await;
    let user = before.user();
    user.post("c", ["a", "b", "d"].map(|key| change(key).payload("x".repeat(100))).to_vec()).await;
    let user = after.same_user(user.id);
    let none = Precondition::None;
    for refused in [change("e").payload("x"), change("a").payload("x".repeat(101))] {
        assert_is!(user.try_put("c", refused, none).await, Err(DbError::OverQuota));
    }
    let grown = vec![change("a").payload(""), change("e").payload("x".repeat(101))];
    assert_is!(user.try_post("c", grown, none).await, Err(DbError::OverQuota));
    let left = |written: Result<crate::Written, DbError>| written.unwrap().quota_left;
    assert_eq!(left(user.try_put("c", change("a").sortindex(1), none).await), Some(0));
    assert_eq!(left(user.try_put("c", change("a").payload("y".repeat(100)), none).await), Some(0));
    assert_eq!(left(user.try_put("c", change("a").payload("y".repeat(90)), none).await), Some(0));
    assert_eq!(left(user.db.delete_bso(&user.bso_at("c", "b"), none).await), Some(0));
    user.delete_bsos("c", &["d"]).await;
    assert_eq!(left(user.try_put("c", change("e").payload("x".repeat(10)), none).await), Some(0));
}
