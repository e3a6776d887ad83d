//! What the operator says of accounts, and who is refused.

use super::*;
use crate::{AccountEntry, AccountFilter, MAX_NEWCOMERS, Registration, Verdict};

const CAROL: &str = "ca401@accounts.example";

fn allow_list() -> Policy {
    Policy { registration: Registration::AllowList([CAROL.to_owned()].into()), ..Policy::default() }
}

async fn say(t: &dyn Fixture, email: &str, verdict: Option<Verdict>) -> Option<Verdict> {
    t.admin().set_verdict(email, verdict, NOW).await.unwrap()
}

async fn listed(t: &dyn Fixture, filter: AccountFilter) -> Vec<String> {
    t.admin().accounts(filter, None, 10).await.unwrap().into_iter().map(|entry| entry.email).collect()
}

pub async fn an_account_that_is_allowed_becomes_a_user(t: &dyn Fixture) {
    let request = |email| under(request(email, 10, 5, "aa"), allow_list());
    assert_refused(t.db().sign_in(&request(ALICE)).await, Refusal::NotOnAllowList);
    assert_eq!(say(t, ALICE, Some(Verdict::Allowed)).await, None);
    // Of nobody else, however alike, has anything been said.
    for other in [BOB, "A11ce@accounts.example", "a11ce@accounts.example ", "a11cé@accounts.example"] {
        assert_refused(t.db().sign_in(&request(other)).await, Refusal::NotOnAllowList);
    }
    assert!(sign_in(t, &request(ALICE)).await.created);
    assert!(sign_in(t, &request(CAROL)).await.created, "the list of the settings still counts");
    // Taken back, she is a user all the same.
    assert_eq!(say(t, ALICE, None).await, Some(Verdict::Allowed));
    assert!(!sign_in(t, &request(ALICE)).await.created);
}

pub async fn nobody_is_allowed_where_registration_is_closed_or_the_server_is_full(t: &dyn Fixture) {
    say(t, ALICE, Some(Verdict::Allowed)).await;
    let closed = Policy { registration: Registration::Closed, ..Policy::default() };
    assert_refused(t.db().sign_in(&under(request(ALICE, 10, 5, "aa"), closed)).await, Refusal::RegistrationClosed);
    sign_in(t, &request(BOB, 10, 5, "aa")).await;
    let full = Policy { max_users: Some(1), ..allow_list() };
    let refused = t.db().sign_in(&under(request(ALICE, 10, 5, "aa"), full)).await;
    assert_refused(refused, Refusal::UserLimit { max_users: 1 });
    assert_eq!(t.users().await.len(), 1);
}

pub async fn an_account_that_is_denied_is_refused_and_its_rows_stay_as_they_are(t: &dyn Fixture) {
    insert(t, &StoredUser { created_at: NOW - 2_000_000, ..alice(9, Some(4), "bb") }).await;
    insert(t, &alice(10, Some(5), "aa")).await;
    for email in [ALICE, BOB] {
        say(t, email, Some(Verdict::Denied)).await;
    }
    let before = t.users().await;
    for request in [request(ALICE, 10, 5, "aa"), request(ALICE, 11, 11, "cc"), request(BOB, 10, 5, "aa")] {
        assert_refused(t.db().sign_in(&request).await, Refusal::Denied);
    }
    assert_eq!(t.users().await, before);
    assert_eq!(say(t, ALICE, Some(Verdict::Allowed)).await, Some(Verdict::Denied));
    assert_eq!(say(t, BOB, None).await, Some(Verdict::Denied));
    assert_eq!(sign_in(t, &request(ALICE, 10, 5, "aa")).await.uid.get(), before[1].uid);
    assert!(sign_in(t, &request(BOB, 10, 5, "aa")).await.created);
}

pub async fn verdicts_are_listed_until_they_are_taken_back(t: &dyn Fixture) {
    for (email, verdict) in [(BOB, Verdict::Allowed), (ALICE, Verdict::Allowed), ("é@x", Verdict::Denied)] {
        assert_eq!(say(t, email, Some(verdict)).await, None);
    }
    let (allowed, denied) = (AccountFilter::With(Verdict::Allowed), AccountFilter::With(Verdict::Denied));
    assert_eq!(listed(t, allowed).await, [ALICE, BOB]);
    assert_eq!(listed(t, denied).await, ["é@x"]);
    assert_eq!(listed(t, AccountFilter::Pending).await, [""; 0]);
    let page = t.admin().accounts(allowed, Some(ALICE), 10).await.unwrap();
    let expected = AccountEntry {
        email: BOB.into(),
        verdict: Some(Verdict::Allowed),
        decided_at: Some(NOW),
        refusals: 0,
        refused_first: None,
        refused_last: None,
        reason: None,
    };
    assert_eq!(page, std::slice::from_ref(&expected));
    assert_eq!(t.admin().account(BOB).await.unwrap(), Some(expected));
    assert_eq!(t.admin().accounts(allowed, None, 1).await.unwrap()[0].email, ALICE);
    for email in [ALICE, BOB, "nobody@x"] {
        say(t, email, None).await;
        assert_eq!(t.admin().account(email).await.unwrap(), None, "nothing is known of {email} any more");
    }
    assert_eq!(listed(t, allowed).await, [""; 0]);
}

pub async fn who_was_refused_is_pending_until_the_operator_decides(t: &dyn Fixture) {
    let admin = t.admin();
    admin.note_refusal(ALICE, "closed", NOW).await.unwrap();
    admin.note_refusal(ALICE, "allow_list", NOW + 60_000).await.unwrap();
    for email in [BOB, "e@x", "e@x ", "É@x"] {
        admin.note_refusal(email, "closed", NOW).await.unwrap();
    }
    let all = admin.accounts(AccountFilter::Pending, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.email.as_str()).collect::<Vec<_>>(), [ALICE, BOB, "e@x", "e@x ", "É@x"]);
    let expected = AccountEntry {
        email: ALICE.into(),
        verdict: None,
        decided_at: None,
        refusals: 2,
        refused_first: Some(NOW),
        refused_last: Some(NOW + 60_000),
        reason: Some("allow_list".into()),
    };
    assert_eq!(all[0], expected);
    say(t, ALICE, Some(Verdict::Allowed)).await;
    say(t, "e@x", Some(Verdict::Denied)).await;
    // Whoever is a user meanwhile waits for nothing.
    sign_in(t, &request(BOB, 10, 5, "aa")).await;
    assert_eq!(listed(t, AccountFilter::Pending).await, ["e@x ", "É@x"]);
    // What is said afterwards does not hide what was before, nor does another refusal take back what was said.
    admin.note_refusal("e@x", "denied", NOW + 1).await.unwrap();
    let denied = admin.account("e@x").await.unwrap().unwrap();
    assert_eq!((denied.verdict, denied.refusals, denied.refused_first), (Some(Verdict::Denied), 2, Some(NOW)));
    say(t, "e@x", None).await;
    assert_eq!(listed(t, AccountFilter::Pending).await, ["e@x", "e@x ", "É@x"]);
}

pub async fn of_those_who_were_refused_the_last_are_kept(t: &dyn Fixture) {
    let first = MAX_NEWCOMERS - 2;
    let rows: Vec<String> =
        (0..first).map(|n| format!("('{n}@x', 1, {0}, {0}, 'closed')", NOW + i64::from(n))).collect();
    let columns = "email, refusals, refused_first, refused_last, reason";
    t.execute(&format!("INSERT INTO syncserver_accounts ({columns}) VALUES {}", rows.join(", "))).await;
    let admin = t.admin();
    for email in ["allowed@x", "denied@x"] {
        let verdict = if email == "denied@x" { Verdict::Denied } else { Verdict::Allowed };
        say(t, email, Some(verdict)).await;
    }
    for n in 0..4 {
        admin.note_refusal(&format!("new-{n}@x"), "closed", NOW + 1_000_000 + n).await.unwrap();
    }
    // Noted again, without anybody's place.
    admin.note_refusal("new-0@x", "closed", NOW + 2_000_000).await.unwrap();
    let pending = admin.accounts(AccountFilter::Pending, None, 2 * MAX_NEWCOMERS).await.unwrap();
    assert_eq!(pending.len(), MAX_NEWCOMERS as usize);
    for (email, kept) in [("0@x", false), ("1@x", false), ("2@x", true), ("new-0@x", true), ("new-3@x", true)] {
        assert_eq!(admin.account(email).await.unwrap().is_some(), kept, "{email}");
    }
    for email in ["allowed@x", "denied@x"] {
        assert!(admin.account(email).await.unwrap().unwrap().verdict.is_some(), "{email}");
    }
}

pub async fn users_are_listed_by_account_and_found_by_any_of_their_names(t: &dyn Fixture) {
    use crate::{Node, UserFilter};
    let n1 = insert_node(t, "https://n1", 10, 3, 10).await;
    let older = insert(t, &StoredUser { replaced_at: Some(42), ..alice(5, None, "aa") }).await;
    let bob = insert(t, &StoredUser { email: BOB.into(), nodeid: n1, ..alice(10, Some(5), "aa") }).await;
    let newer = insert(t, &StoredUser { created_at: NOW, ..alice(5, Some(5), "bb") }).await;
    let spaced = insert(t, &StoredUser { email: format!("{ALICE} "), nodeid: 999, ..alice(1, None, "aa") }).await;
    let elsewhere = insert(t, &StoredUser { email: "a11ce@other.example".into(), ..alice(1, None, "aa") }).await;
    insert(t, &StoredUser { email: "a11ce2@accounts.example".into(), ..alice(1, None, "aa") }).await;
    let other = insert_other_service(t).await;
    insert_for(t, other, &alice(99, None, "cc")).await;
    say(t, ALICE, Some(Verdict::Denied)).await;
    let uids = async |filter: UserFilter, after: Option<i64>, limit| -> Vec<i64> {
        let after = after.map(|uid| UserId::try_from(uid).unwrap());
        t.admin().users(&filter, after, limit).await.unwrap().iter().map(|entry| entry.row.uid.get()).collect()
    };
    let current = uids(UserFilter::Current, None, 10).await;
    assert_eq!(current[..4], [bob, newer, spaced, elsewhere]);
    assert_eq!(current.len(), 5);
    assert_eq!(uids(UserFilter::Current, None, 2).await, [bob, newer]);
    assert_eq!(uids(UserFilter::Current, Some(newer), 2).await, [spaced, elsewhere]);
    assert_eq!(uids(UserFilter::Email(ALICE.into()), None, 10).await, [older, newer]);
    assert_eq!(uids(UserFilter::Email("A11CE@accounts.example".into()), None, 10).await, [0; 0]);
    assert_eq!(uids(UserFilter::FxaUid("a11ce".into()), None, 10).await, [older, newer, spaced, elsewhere]);
    assert_eq!(uids(UserFilter::FxaUid("a11c".into()), None, 10).await, [0; 0]);
    assert_eq!(uids(UserFilter::Uid(UserId::try_from(older).unwrap()), None, 10).await, [older]);
    assert_eq!(uids(UserFilter::Uid(UserId::try_from(123_456).unwrap()), None, 10).await, [0; 0]);
    let rows = t.admin().users(&UserFilter::Email(ALICE.into()), None, 10).await.unwrap();
    let row = &rows[1];
    assert_eq!((row.email.as_str(), row.verdict, row.devices), (ALICE, Some(Verdict::Denied), 0));
    assert_eq!((row.row.generation, row.row.keys_changed_at, row.row.client_state.as_str()), (5, Some(5), "bb"));
    assert_eq!((row.row.created_at, row.row.replaced_at, &row.home), (NOW, None, &Some(Node::PublicUrl)));
    assert_eq!(crate::UserEntry::current(&rows).map(|entry| entry.row.uid.get()), Some(newer));
    let all = t.admin().users(&UserFilter::Current, None, 10).await.unwrap();
    assert_eq!((&all[0].home, all[0].verdict), (&Some(Node::Url("https://n1".into())), None));
    assert_eq!((&all[2].home, all[2].verdict), (&None, None), "a node that is gone, and another account");
}

pub async fn all_rows_of_an_account_are_replaced_so_that_they_can_be_forgotten(t: &dyn Fixture) {
    let first = insert(t, &StoredUser { replaced_at: Some(42), ..alice(5, None, "aa") }).await;
    let second = insert(t, &StoredUser { created_at: NOW - 10, ..alice(10, Some(5), "bb") }).await;
    let bob = insert(t, &StoredUser { email: BOB.into(), ..alice(10, Some(5), "aa") }).await;
    assert_eq!(t.admin().replace_user(ALICE, NOW).await.unwrap(), 1);
    assert_eq!(t.admin().replace_user("nobody@x", NOW).await.unwrap(), 0);
    let replaced = [first, second, bob].map(|uid| async move { stored(t, uid).await.replaced_at });
    let mut found = Vec::new();
    for at in replaced {
        found.push(at.await);
    }
    assert_eq!(found, [Some(42), Some(NOW), None]);
    for uid in [first, second] {
        assert!(t.db().forget_row(UserId::try_from(uid).unwrap()).await.unwrap());
    }
    assert_eq!(t.users().await.len(), 1);
    let back = sign_in(t, &request(ALICE, 3, 3, "aa")).await;
    assert!(back.created && back.uid.get() > bob, "a new user, as anybody");
}
