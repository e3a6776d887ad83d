//! Any sequence of requests, applied to rows.

use proptest::prelude::*;

use super::*;

/// Applies a plan to rows, as a backend does.
fn carry_out(rows: &mut Vec<UserRow>, plan: Plan) -> Option<SignedIn> {
    for Replaced { uid, at } in plan.replaced {
        rows.iter_mut().find(|row| row.uid == uid).unwrap().replaced_at = Some(at);
    }
    match plan.outcome {
        Outcome::Accept(answer) => Some(answer),
        Outcome::Update(answer) => {
            let row = rows.iter_mut().find(|row| row.uid == answer.uid).unwrap();
            row.generation = answer.generation;
            row.keys_changed_at = answer.keys_changed_at.or(row.keys_changed_at);
            Some(answer)
        }
        Outcome::Insert(new) => {
            let uid = uid(rows.len() as i64 + 1);
            rows.push(UserRow {
                uid,
                generation: new.generation,
                client_state: new.client_state.clone(),
                created_at: new.created_at,
                replaced_at: None,
                nodeid: 0,
                keys_changed_at: new.keys_changed_at,
                node: None,
            });
            Some(new.signed_in(uid, Node::PublicUrl))
        }
        Outcome::Refuse(_) | Outcome::RetiredWithoutNode => None,
    }
}

proptest! {
    #[test]
    fn whatever_comes_in_nothing_goes_back(
        requests in prop::collection::vec((0i64..6, 0i64..6, 0usize..4, -5i64..5), 1..40)
    ) {
        let mut rows: Vec<UserRow> = Vec::new();
        let mut now = NOW;
        for (generation, keys, state, passed) in requests {
            now += passed;
            let request = SignIn { now_ms: now, ..request(generation, keys, ["", "aa", "bb", "cc"][state]) };
            let before = rows.clone();
            let answer = carry_out(&mut rows, plan(&request, &on_no_nodes(&before)));
            let again = plan(&request, &on_no_nodes(&rows));
            if let Some(answer) = answer {
                let current = rows.iter().max_by_key(|row| row.rank()).unwrap();
                // The answer is of the current row, which is the only one in use.
                prop_assert_eq!(answer.uid, current.uid);
                prop_assert_eq!(&answer.client_state, request.account.client_state());
                prop_assert!(current.replaced_at.is_none());
                prop_assert!(rows.iter().all(|row| row.uid == current.uid || row.replaced_at.is_some()));
                if let Some(last) = before.iter().max_by_key(|row| row.rank()) {
                    prop_assert!(current.generation >= last.generation);
                    prop_assert!(current.keys_changed_at >= last.keys_changed_at);
                }
                // The same request again finds everything as it should be.
                prop_assert!(again.settled().is_some());
                prop_assert_eq!(again.outcome, Outcome::Accept(SignedIn { created: false, ..answer }));
            } else {
                prop_assert_eq!(rows, before.clone());
                rows = before;
            }
        }
    }
}
