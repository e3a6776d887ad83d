//! What becomes of the rows of a user whom the rules let in.

use super::*;

#[test]
fn an_accepted_request_updates_the_row_in_place_or_not_at_all() {
    // (stored generation and keys) × (sent) → (in the answer), and whether that is written.
    for (name, stored, sent, answer, writes) in [
        ("nothing new", (10, Some(5)), (10, 5), (10, Some(5)), false),
        ("a greater generation", (10, Some(5)), (11, 5), (11, Some(5)), true),
        ("newer keys", (10, Some(5)), (10, 6), (10, Some(6)), true),
        ("both", (10, Some(5)), (12, 11), (12, Some(11)), true),
        ("the first generation", (0, Some(5)), (11, 5), (11, Some(5)), true),
        ("the first keys", (10, None), (10, 5), (10, Some(5)), true),
        ("the first keys over a stored 0", (10, Some(0)), (10, 5), (10, Some(5)), true),
        ("an absent generation overwrites nothing", (10, Some(5)), (0, 5), (10, Some(5)), false),
        ("absent keys leave a null null", (10, None), (11, 0), (11, None), true),
        ("absent keys, nothing new", (10, None), (10, 0), (10, None), false),
        ("a stored 0 is absent in the answer", (10, Some(0)), (10, 0), (10, None), false),
        ("nothing known at all", (0, None), (0, 0), (0, None), false),
        ("keys above all become the generation", (10, Some(5)), (0, 12), (12, Some(12)), true),
        ("keys above a null become the generation", (10, None), (0, 12), (12, Some(12)), true),
        ("keys above no generation become it", (0, Some(5)), (0, 12), (12, Some(12)), true),
        ("keys at the generation do not change it", (12, Some(5)), (0, 12), (12, Some(12)), true),
        ("keys below the generation do not", (13, Some(5)), (0, 12), (13, Some(12)), true),
        ("keys no newer than the stored do not", (3, Some(12)), (0, 12), (3, Some(12)), false),
        ("with a generation the keys are just keys", (10, None), (11, 12), (11, Some(12)), true),
        ("a retired user's own generation", (RETIRED, Some(5)), (RETIRED, 5), (RETIRED, Some(5)), false),
    ] {
        let plan = plan(&request(sent.0, sent.1, "aa"), &on_no_nodes(&[row(stored.0, stored.1)]));
        let signed_in = SignedIn {
            uid: uid(7),
            generation: answer.0,
            keys_changed_at: answer.1,
            client_state: "aa".into(),
            node: Node::PublicUrl,
            created: false,
        };
        let outcome = if writes { Outcome::Update(signed_in) } else { Outcome::Accept(signed_in) };
        assert_eq!(plan, Plan { replaced: vec![], outcome }, "{name}");
        assert_eq!(plan.settled().is_none(), writes, "{name}");
    }
}

#[test]
fn a_new_user_gets_what_the_request_says() {
    for (name, sent, stored) in [
        ("all of it", (10, 5), (10, Some(5))),
        ("no keys", (10, 0), (10, None)),
        ("no generation: the keys do not stand in for it", (0, 5), (0, Some(5))),
        ("neither", (0, 0), (0, None)),
    ] {
        let row = |place| NewRow {
            generation: stored.0,
            client_state: "aa".into(),
            created_at: NOW,
            keys_changed_at: stored.1,
            place,
            created: true,
        };
        let request = request(sent.0, sent.1, "aa");
        let public_url = Place::At { nodeid: 0, node: Node::PublicUrl };
        assert_eq!(plan(&request, &on_no_nodes(&[])).outcome, Outcome::Insert(row(public_url)), "{name}");
        assert_eq!(plan(&request, &on_nodes(&[])).outcome, Outcome::Insert(row(Place::Allocate)), "{name}");
    }
}

#[test]
fn a_new_client_state_gets_a_new_row_on_the_same_node() {
    let at = |nodeid: i64, node: Node| Place::At { nodeid, node };
    let on = |nodeid: i64, node: Option<&str>| UserRow { nodeid, node: node.map(Into::into), ..row(10, Some(5)) };
    let url = || Node::Url("https://n3".into());
    for (name, current, has_nodes, sent, stored, place) in [
        ("on a node", on(3, Some("https://n3")), true, (11, 6), (11, Some(6)), at(3, url())),
        ("on the public URL", on(0, None), true, (11, 6), (11, Some(6)), at(0, Node::PublicUrl)),
        ("without nodes the id stays", on(3, None), false, (11, 6), (11, Some(6)), at(3, Node::PublicUrl)),
        ("no generation: the stored one", on(0, None), false, (0, 6), (10, Some(6)), at(0, Node::PublicUrl)),
        ("no generation: the keys", on(0, None), false, (0, 16), (16, Some(16)), at(0, Node::PublicUrl)),
        ("on a node that is gone", on(3, None), true, (11, 6), (11, Some(6)), Place::Allocate),
    ] {
        let rows = [older(row(9, None), 2, "cc"), current];
        let plan = plan(&request(sent.0, sent.1, "bb"), &Facts { rows: &rows, verdict: None, has_nodes, users: 0 });
        let new = NewRow {
            generation: stored.0,
            client_state: "bb".into(),
            created_at: NOW,
            keys_changed_at: stored.1,
            place,
            created: false,
        };
        assert_eq!(plan.outcome, Outcome::Insert(new), "{name}");
        let replaced = [Replaced { uid: uid(2), at: THEN }, Replaced { uid: uid(7), at: NOW }];
        assert_eq!(plan.replaced, replaced, "{name}");
    }
}

#[test]
fn a_row_that_is_replaced_or_on_a_gone_node_is_allocated_anew() {
    let new = |generation, keys_changed_at, place| {
        let created_at = NOW;
        Outcome::Insert(NewRow {
            generation,
            client_state: "aa".into(),
            created_at,
            keys_changed_at,
            place,
            created: false,
        })
    };
    let replaced = |row| UserRow { replaced_at: Some(THEN), ..row };
    let on_n3 = |row| UserRow { nodeid: 3, node: Some("https://n3".into()), ..row };
    let on_gone = |row| UserRow { nodeid: 3, node: None, ..row };
    let public_url = || Place::At { nodeid: 0, node: Node::PublicUrl };
    let known = |row: &UserRow| SignedIn {
        uid: uid(7),
        generation: row.generation,
        keys_changed_at: Some(5),
        client_state: "aa".into(),
        node: row.home(true).unwrap(),
        created: false,
    };
    let user = row(10, Some(5));
    let retired = row(RETIRED, Some(5));
    for (name, current, has_nodes, sent, outcome) in [
        ("replaced", replaced(on_n3(user.clone())), true, (10, 5), new(10, Some(5), Place::Allocate)),
        ("gone", on_gone(user.clone()), true, (10, 5), new(10, Some(5), Place::Allocate)),
        ("both", replaced(on_gone(user.clone())), true, (10, 5), new(10, Some(5), Place::Allocate)),
        ("replaced on the public URL", replaced(user.clone()), true, (10, 5), new(10, Some(5), Place::Allocate)),
        ("replaced, and no nodes", replaced(on_n3(user.clone())), false, (10, 5), new(10, Some(5), public_url())),
        (
            "with stored data where the request has none",
            on_gone(row(10, None)),
            true,
            (0, 0),
            new(10, None, Place::Allocate),
        ),
        ("a stored 0 is taken along", on_gone(row(10, Some(0))), true, (10, 0), new(10, Some(0), Place::Allocate)),
        ("with what is new in the request", on_gone(user.clone()), true, (12, 11), new(12, Some(11), Place::Allocate)),
        (
            "the keys may become the generation",
            on_gone(user.clone()),
            true,
            (0, 11),
            new(11, Some(11), Place::Allocate),
        ),
        (
            "a refusal comes first",
            replaced(on_gone(user.clone())),
            true,
            (9, 5),
            Outcome::Refuse(Refusal::OldGeneration { sent: 9, stored: 10 }),
        ),
        (
            "a node that is there keeps its user",
            on_n3(user.clone()),
            true,
            (10, 5),
            Outcome::Accept(known(&on_n3(user.clone()))),
        ),
        ("the public URL is never gone", user.clone(), true, (10, 5), Outcome::Accept(known(&user))),
        (
            "retired and replaced stays",
            replaced(on_n3(retired.clone())),
            true,
            (RETIRED, 5),
            Outcome::Accept(known(&on_n3(retired.clone()))),
        ),
        ("retired and gone has no place", on_gone(retired.clone()), true, (RETIRED, 5), Outcome::RetiredWithoutNode),
        ("retired, gone, and refused first", on_gone(retired.clone()), true, (1, 5), Outcome::Refuse(Refusal::Retired)),
    ] {
        let writes_replaced = matches!(outcome, Outcome::Insert(_)) && current.replaced_at.is_none();
        let rows = [current];
        let plan = plan(&request(sent.0, sent.1, "aa"), &Facts { rows: &rows, verdict: None, has_nodes, users: 0 });
        assert_eq!(plan.outcome, outcome, "{name}");
        let expected: &[Replaced] = if writes_replaced { &[Replaced { uid: uid(7), at: NOW }] } else { &[] };
        assert_eq!(plan.replaced, expected, "{name}");
    }
}

#[test]
fn without_nodes_everybody_is_on_the_public_url_with_the_same_uid() {
    for nodeid in [0, 3] {
        let rows = [UserRow { nodeid, ..row(10, Some(5)) }];
        let Outcome::Accept(answer) = outcome(&request(10, 5, "aa"), &rows) else { panic!("{nodeid}") };
        assert_eq!((answer.uid, answer.node), (uid(7), Node::PublicUrl), "{nodeid}");
    }
}

#[test]
fn the_current_row_has_the_highest_generation_then_time_then_uid() {
    let with = |id, generation, created_at, client_state: &str| UserRow {
        uid: uid(id),
        created_at,
        client_state: client_state.into(),
        replaced_at: Some(1),
        ..row(generation, Some(5))
    };
    for (name, rows) in [
        ("generation first", [with(1, 10, 1, "aa"), with(9, 9, 9, "bb")]),
        ("then created_at", [with(1, 10, 9, "aa"), with(9, 10, 1, "bb")]),
        ("then uid", [with(9, 10, 1, "aa"), with(1, 10, 1, "bb")]),
    ] {
        for rows in [rows.clone(), [rows[1].clone(), rows[0].clone()]] {
            assert!(matches!(outcome(&request(10, 5, "aa"), &rows), Outcome::Insert(_)), "{name}");
            assert_eq!(outcome(&request(10, 5, "bb"), &rows), Outcome::Refuse(Refusal::StaleClientState), "{name}");
        }
    }
}

#[test]
fn older_rows_are_replaced_since_the_current_one_was_made() {
    let rows = [
        older(row(8, None), 1, "cc"),
        UserRow { replaced_at: Some(5), ..older(row(9, None), 2, "bb") },
        older(row(10, None), 3, "dd"),
        row(10, Some(5)),
    ];
    let expected = [Replaced { uid: uid(1), at: THEN }, Replaced { uid: uid(3), at: THEN }];
    for (name, request) in
        [("accepted", request(10, 5, "aa")), ("updated", request(11, 6, "aa")), ("refused", request(9, 5, "aa"))]
    {
        let plan = plan(&request, &on_no_nodes(&rows));
        assert_eq!(plan.replaced, expected, "{name}");
        assert!(plan.settled().is_none(), "{name}");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_make_a_new_row_older() {
    let ahead = UserRow { created_at: NOW + 5000, ..row(10, Some(5)) };
    let plan = plan(&request(0, 6, "bb"), &on_no_nodes(&[ahead]));
    assert_eq!(plan.replaced, [Replaced { uid: uid(7), at: NOW + 5000 }]);
    assert!(matches!(plan.outcome, Outcome::Insert(NewRow { created_at, .. }) if created_at == NOW + 5000));
}
