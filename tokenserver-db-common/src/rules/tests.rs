//! Each rule and each edge is a row of a table with a sentence as its name.

use std::sync::Arc;

use super::*;

mod rows;
mod sequences;

const NOW: i64 = 1_700_000_000_000;
const THEN: i64 = NOW - 1000;
const DOMAIN: &str = "0123456789abcdef@accounts.example";

fn uid(uid: i64) -> UserId {
    UserId::try_from(uid).unwrap()
}

/// A row in use on the public URL, with client state "aa".
fn row(generation: i64, keys_changed_at: Option<i64>) -> UserRow {
    UserRow {
        uid: uid(7),
        generation,
        client_state: "aa".into(),
        created_at: THEN,
        replaced_at: None,
        nodeid: 0,
        keys_changed_at,
        node: None,
    }
}

fn older(row: UserRow, id: i64, client_state: &str) -> UserRow {
    UserRow { uid: uid(id), created_at: row.created_at - id, client_state: client_state.into(), ..row }
}

fn request(generation: i64, keys_changed_at: i64, client_state: &str) -> SignIn {
    let account = Account::new(DOMAIN, Some(generation), Some(keys_changed_at), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms: NOW }
}

fn with_policy(policy: Policy) -> SignIn {
    SignIn { policy: Arc::new(policy), ..request(10, 5, "aa") }
}

fn on_no_nodes(rows: &[UserRow]) -> Facts<'_> {
    Facts { rows, verdict: None, has_nodes: false, users: 0 }
}

fn on_nodes(rows: &[UserRow]) -> Facts<'_> {
    Facts { rows, verdict: None, has_nodes: true, users: 0 }
}

fn outcome(request: &SignIn, rows: &[UserRow]) -> Outcome {
    plan(request, &on_no_nodes(rows)).outcome
}

#[test]
fn rule_1_an_unknown_account_becomes_a_user_where_the_policy_says_so() {
    let list = |email: &str| Registration::AllowList([email.to_owned()].into());
    let policy = |registration, max_users| Policy { registration, max_users, ..Policy::default() };
    for (name, policy, users, refusal) in [
        ("open to everybody", policy(Registration::Open, None), 1_000_000, None),
        ("closed", policy(Registration::Closed, None), 0, Some(Refusal::RegistrationClosed)),
        ("on the list", policy(list(DOMAIN), None), 0, None),
        ("not on the list", policy(list("other@accounts.example"), None), 0, Some(Refusal::NotOnAllowList)),
        ("the list is of whole e-mails", policy(list("0123456789abcdef"), None), 0, Some(Refusal::NotOnAllowList)),
        (
            "an empty list lets nobody in",
            policy(Registration::AllowList([].into()), None),
            0,
            Some(Refusal::NotOnAllowList),
        ),
        ("one place is left", policy(Registration::Open, Some(3)), 2, None),
        ("no place is left", policy(Registration::Open, Some(3)), 3, Some(Refusal::UserLimit { max_users: 3 })),
        ("too many already", policy(Registration::Open, Some(3)), 4, Some(Refusal::UserLimit { max_users: 3 })),
        ("no users at all", policy(Registration::Open, Some(0)), 0, Some(Refusal::UserLimit { max_users: 0 })),
        (
            "the list has no say in the number",
            policy(list(DOMAIN), Some(1)),
            1,
            Some(Refusal::UserLimit { max_users: 1 }),
        ),
    ] {
        let request = with_policy(policy);
        let plan = plan(&request, &Facts { rows: &[], verdict: None, has_nodes: false, users });
        match refusal {
            Some(refusal) => assert_eq!(plan.outcome, Outcome::Refuse(refusal), "{name}"),
            None => assert!(matches!(plan.outcome, Outcome::Insert(NewRow { created: true, .. })), "{name}: {plan:?}"),
        }
        assert_eq!(plan.replaced, [], "{name}");
        assert_eq!(counts_users(&[], &request.policy), request.policy.max_users.is_some(), "{name}");
        // Who is a user stays one.
        let row = row(10, Some(5));
        assert!(matches!(outcome(&request, std::slice::from_ref(&row)), Outcome::Accept(_)), "{name}");
        assert!(!counts_users(&[row], &request.policy), "{name}");
    }
}

#[test]
fn what_the_operator_has_said_counts_for_newcomers_and_denials_for_users_too() {
    let list = || Registration::AllowList(["other@accounts.example".to_owned()].into());
    let policy = |registration, max_users| Policy { registration, max_users, ..Policy::default() };
    let (allowed, denied) = (Some(Verdict::Allowed), Some(Verdict::Denied));
    for (name, policy, verdict, refusal) in [
        ("allowed, though not on the list", policy(list(), None), allowed, None),
        ("nothing said", policy(list(), None), None, Some(Refusal::NotOnAllowList)),
        ("allowed, with an empty list", policy(Registration::AllowList([].into()), None), allowed, None),
        ("closed is closed for all", policy(Registration::Closed, None), allowed, Some(Refusal::RegistrationClosed)),
        ("allowed where all are", policy(Registration::Open, None), allowed, None),
        ("one too many", policy(list(), Some(1)), allowed, Some(Refusal::UserLimit { max_users: 1 })),
        ("denied where all others may", policy(Registration::Open, None), denied, Some(Refusal::Denied)),
        ("denied where nobody may", policy(Registration::Closed, None), denied, Some(Refusal::Denied)),
        (
            "denied, though on the list",
            policy(Registration::AllowList([DOMAIN.to_owned()].into()), None),
            denied,
            Some(Refusal::Denied),
        ),
    ] {
        let request = with_policy(policy);
        let plan_of = |rows: &[UserRow]| plan(&request, &Facts { rows, verdict, has_nodes: false, users: 1 });
        let newcomer = plan_of(&[]);
        match refusal {
            Some(refusal) => assert_eq!(newcomer.outcome, Outcome::Refuse(refusal), "{name}"),
            None => assert!(matches!(newcomer.outcome, Outcome::Insert(_)), "{name}: {newcomer:?}"),
        }
        // Of a user, only a denial counts; and then not even older rows are written to.
        let rows = [row(10, Some(5)), older(row(9, Some(4)), 3, "bb")];
        let user = plan_of(&rows);
        if verdict == denied {
            assert_eq!(user, Plan { replaced: Vec::new(), outcome: Outcome::Refuse(Refusal::Denied) }, "{name}");
            assert!(user.settled().is_some(), "{name}");
        } else {
            assert!(matches!(user.outcome, Outcome::Accept(_)), "{name}: {user:?}");
        }
    }
}

#[test]
fn rules_2_to_9_refuse() {
    let key = |row: UserRow, client_state: &str| UserRow { client_state: client_state.into(), ..row };
    let old = |client_state| vec![row(10, Some(5)), older(row(9, Some(4)), 3, client_state)];
    let cases: &[(&str, SignIn, Vec<UserRow>, Option<Refusal>)] = &[
        // 2
        (
            "2: newer keys than the generation",
            request(11, 12, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::KeysAheadOfGeneration { sent: 12, stored: 5, generation: 11 }),
        ),
        ("2: newer keys at the generation are fine", request(12, 12, "aa"), vec![row(10, Some(5))], None),
        ("2: the same keys beyond the generation are fine", request(10, 12, "aa"), vec![row(10, Some(12))], None),
        ("2: no stored keys, no comparison", request(11, 12, "aa"), vec![row(10, None)], None),
        ("2: stored keys of 0, no comparison", request(11, 12, "aa"), vec![row(10, Some(0))], None),
        ("2: no generation, no comparison", request(0, 12, "aa"), vec![row(10, Some(5))], None),
        (
            "2 comes before 3",
            request(11, 12, ""),
            vec![row(10, Some(5))],
            Some(Refusal::KeysAheadOfGeneration { sent: 12, stored: 5, generation: 11 }),
        ),
        // 3
        ("3: an empty client state", request(11, 6, ""), vec![row(10, Some(5))], Some(Refusal::EmptyClientState)),
        ("3: empty as ever", request(10, 5, ""), vec![key(row(10, Some(5)), "")], None),
        ("3: empty no longer", request(11, 6, "bb"), vec![key(row(10, Some(5)), "")], None),
        ("3 comes before 4", request(11, 6, ""), old(""), Some(Refusal::EmptyClientState)),
        // 4
        ("4: an older row's client state", request(11, 6, "bb"), old("bb"), Some(Refusal::StaleClientState)),
        ("4: no older row's client state", request(11, 6, "cc"), old("bb"), None),
        ("4: the current one, which an older row has too", request(10, 5, "aa"), old("aa"), None),
        ("4 comes before 5", request(10, 5, "bb"), old("bb"), Some(Refusal::StaleClientState)),
        // 5
        (
            "5: a new client state at the same generation",
            request(10, 6, "bb"),
            vec![row(10, Some(5))],
            Some(Refusal::ClientStateWithoutGeneration { sent: 10, stored: 10 }),
        ),
        (
            "5 comes before 6 and 7: a new client state at a lesser generation",
            request(9, 5, "bb"),
            vec![row(10, Some(5))],
            Some(Refusal::ClientStateWithoutGeneration { sent: 9, stored: 10 }),
        ),
        ("5: no generation sent, no comparison", request(0, 6, "bb"), vec![row(10, Some(5))], None),
        ("5: no generation stored, no comparison", request(10, 6, "bb"), vec![row(0, Some(5))], None),
        // 6
        (
            "6: a new client state with the same keys",
            request(11, 5, "bb"),
            vec![row(10, Some(5))],
            Some(Refusal::ClientStateWithoutKeysChange { sent: 5, stored: 5 }),
        ),
        (
            "6 comes before 8: a new client state with older keys",
            request(11, 4, "bb"),
            vec![row(10, Some(5))],
            Some(Refusal::ClientStateWithoutKeysChange { sent: 4, stored: 5 }),
        ),
        ("6: no keys stored, no comparison", request(11, 5, "bb"), vec![row(10, None)], None),
        ("6: no keys on either side, no comparison", request(11, 0, "bb"), vec![row(10, None)], None),
        // 7
        (
            "7: a lesser generation",
            request(9, 5, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::OldGeneration { sent: 9, stored: 10 }),
        ),
        (
            "7 comes before 8",
            request(9, 4, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::OldGeneration { sent: 9, stored: 10 }),
        ),
        (
            "7 comes before 9",
            request(9, 0, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::OldGeneration { sent: 9, stored: 10 }),
        ),
        ("7: no generation sent, no comparison", request(0, 5, "aa"), vec![row(10, Some(5))], None),
        ("7: no generation stored, no comparison", request(1, 5, "aa"), vec![row(0, Some(5))], None),
        ("7: a retired user", request(10, 5, "aa"), vec![row(RETIRED, Some(5))], Some(Refusal::Retired)),
        ("7: a retired user, no generation", request(0, 5, "aa"), vec![row(RETIRED, Some(5))], Some(Refusal::Retired)),
        ("7: a retired user's own generation", request(RETIRED, 5, "aa"), vec![row(RETIRED, Some(5))], None),
        (
            "5 holds for retired users too",
            request(RETIRED, 6, "bb"),
            vec![row(RETIRED, Some(5))],
            Some(Refusal::ClientStateWithoutGeneration { sent: RETIRED, stored: RETIRED }),
        ),
        // 8
        ("8: older keys", request(10, 4, "aa"), vec![row(10, Some(5))], Some(Refusal::OldKeys { sent: 4, stored: 5 })),
        (
            "8: older keys, greater generation",
            request(11, 4, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::OldKeys { sent: 4, stored: 5 }),
        ),
        ("8: no keys stored, no comparison", request(10, 4, "aa"), vec![row(10, None)], None),
        // 9
        (
            "9: no keys any more",
            request(10, 0, "aa"),
            vec![row(10, Some(5))],
            Some(Refusal::NoKeysChangedAt { stored: 5 }),
        ),
        (
            "9: nor with a new client state",
            request(11, 0, "bb"),
            vec![row(10, Some(5))],
            Some(Refusal::NoKeysChangedAt { stored: 5 }),
        ),
        ("9: never any keys", request(10, 0, "aa"), vec![row(10, None)], None),
        ("9: stored keys of 0 are none", request(10, 0, "aa"), vec![row(10, Some(0))], None),
    ];
    for (name, request, rows, refusal) in cases {
        let found = outcome(request, rows);
        match refusal {
            Some(refusal) => assert_eq!(found, Outcome::Refuse(*refusal), "{name}"),
            None => assert!(!matches!(found, Outcome::Refuse(_) | Outcome::RetiredWithoutNode), "{name}: {found:?}"),
        }
    }
}
