//! What happens at once. The backends are asked from many tasks on several threads.

use std::future::Future;

use tokio::task::JoinSet;

use super::*;
use crate::Node;

/// Runs all of them at once, and gives what they came to.
async fn together<T, F>(t: &dyn Fixture, count: usize, task: impl Fn(Arc<dyn TokenDb>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..count {
        tasks.spawn(task(t.db(), n));
    }
    tasks.join_all().await
}

async fn sign_in_together(
    t: &dyn Fixture,
    count: usize,
    request: impl Fn(usize) -> SignIn,
) -> Vec<Result<SignedIn, TokenError>> {
    together(t, count, |db, n| {
        let request = request(n);
        async move { db.sign_in(&request).await }
    })
    .await
}

pub async fn first_sign_ins_of_one_user_at_once_make_one_row(t: &dyn Fixture) {
    let answers = sign_in_together(t, 10, |_| request(ALICE, 10, 5, "aa")).await;
    let answers: Vec<SignedIn> = answers.into_iter().map(Result::unwrap).collect();
    let rows = t.users().await;
    assert_eq!(rows.len(), 1);
    assert!(answers.iter().all(|answer| answer.uid.get() == rows[0].uid));
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
}

pub async fn first_sign_ins_of_one_user_at_once_take_one_place(t: &dyn Fixture) {
    insert_node(t, "https://n1", 10, 0, 10).await;
    insert_node(t, "https://n2", 10, 0, 10).await;
    let answers = sign_in_together(t, 10, |_| request(ALICE, 10, 5, "aa")).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(t.users().await.len(), 1);
    let taken: i64 = t.db().nodes().await.unwrap().iter().map(|node| node.current_load).sum();
    assert_eq!(taken, 1);
}

/// With ten places in all, of which only some are released, and twelve users.
pub async fn a_place_is_given_once(t: &dyn Fixture) {
    insert_node(t, "https://n1", 1, 0, 4).await;
    insert_node(t, "https://n2", 0, 0, 6).await;
    let answers = sign_in_together(t, 12, |n| request(&format!("{n}@x"), 10, 5, "aa")).await;
    let without = answers.iter().filter(|answer| matches!(answer, Err(TokenError::NoNode))).count();
    let answers: Vec<SignedIn> = answers.into_iter().filter_map(Result::ok).collect();
    assert_eq!((answers.len(), without), (10, 2));
    for (url, capacity) in [("https://n1", 4), ("https://n2", 6)] {
        let row = node(t, url).await;
        assert_eq!((row.current_load, row.available), (capacity, 0), "{url}");
        let users = answers.iter().filter(|answer| answer.node == Node::Url(url.into())).count();
        assert_eq!(users as i64, capacity, "{url}");
    }
}

pub async fn no_more_new_users_at_once_than_there_may_be(t: &dyn Fixture) {
    let three = || Policy { max_users: Some(3), ..Policy::default() };
    let answers = sign_in_together(t, 10, |n| under(request(&format!("{n}@x"), 10, 5, "aa"), three())).await;
    let refused =
        |answer: &Result<_, _>| matches!(answer, Err(TokenError::Refused(Refusal::UserLimit { max_users: 3 })));
    assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 7, "{answers:?}");
    assert_eq!(t.users().await.len(), 3);
}

/// Two devices that each reset the key after the same change of the password.
pub async fn of_two_new_keys_at_once_one_wins(t: &dyn Fixture) {
    sign_in(t, &request(ALICE, 10, 5, "aa")).await;
    let answers = sign_in_together(t, 8, |n| request(ALICE, 11, 6, if n % 2 == 0 { "bb" } else { "cc" })).await;
    let won: Vec<&SignedIn> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    assert_eq!(won.len(), 4, "{answers:?}");
    assert!(won.iter().all(|answer| answer == &won[0]), "{answers:?}");
    let rows = t.users().await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows.iter().filter(|row| row.replaced_at.is_none()).count(), 1);
}

pub async fn a_generation_never_goes_back(t: &dyn Fixture) {
    let uid = sign_in(t, &request(ALICE, 1, 0, "aa")).await.uid.get();
    together(t, 20, |db, n| async move {
        let generation = (n as i64 * 7) % 20 + 1;
        if n % 2 == 0 {
            db.password_changed(ALICE, generation).await.unwrap();
        } else {
            match db.sign_in(&request(ALICE, generation, 0, "aa")).await {
                Ok(answer) => assert_eq!(answer.generation, generation),
                Err(TokenError::Refused(Refusal::OldGeneration { sent, stored })) => assert!(sent < stored),
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    let row = stored(t, uid).await;
    assert_eq!((row.generation, t.users().await.len()), (20, 1));
}

pub async fn a_node_added_twice_at_once_is_there_once(t: &dyn Fixture) {
    let added = together(t, 8, |db, _| async move { db.init_node("https://n1", 10).await.unwrap() }).await;
    assert_eq!(added.into_iter().filter(|added| *added).count(), 1);
    assert_eq!(t.db().nodes().await.unwrap().len(), 1);
}
