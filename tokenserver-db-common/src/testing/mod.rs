//! The conformance suite: what every backend does alike, as functions over a [`Fixture`].
//!
//! A backend implements [`Fixture`] and says `tokenserver_db_common::conformance_suite!(open);` in its tests, where
//! `open` is an async function that makes a fixture with a fresh database. The macro stamps a test for each case, so
//! that none can be left out. The tests need `tokio` with `macros` and `rt-multi-thread`.

#![expect(missing_docs, reason = "the names of the cases are sentences")]
#![expect(clippy::unwrap_used, reason = "this is test code, though for the tests of other crates")]

use std::sync::Arc;

use async_trait::async_trait;

use syncstorage_db_common::UserId;

use crate::{
    Account, NodeRow, Policy, Refusal, SERVICE, SignIn, SignedIn, TokenAdmin, TokenDb, TokenError, TokenTarget,
};

pub mod accounts;
pub mod archive;
pub mod devices;
pub mod moves;
pub mod nodes;
pub mod operations;
pub mod races;
pub mod sign_in;

/// A database of its own for one test, fresh from the backend's migrations, and a way past the trait to its tables.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The backend. It must not have looked at the tables yet: some cases change the service's id first.
    fn db(&self) -> Arc<dyn TokenDb>;

    /// The operator's side of the same database.
    fn admin(&self) -> Arc<dyn TokenAdmin>;

    /// The same tables as a whole.
    fn archive(&self) -> Arc<dyn TokenTarget>;

    /// Runs a statement, which is written so that every engine takes it.
    async fn execute(&self, statement: &str);

    /// All rows of `users`, of whatever service, by uid.
    async fn users(&self) -> Vec<StoredUser>;
}

/// A row of `users` as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "these are the columns of the table")]
pub struct StoredUser {
    pub uid: i64,
    pub service: i64,
    pub email: String,
    pub generation: i64,
    pub client_state: String,
    pub created_at: i64,
    pub replaced_at: Option<i64>,
    pub nodeid: i64,
    pub keys_changed_at: Option<i64>,
}

/// Stamps a test for each case of the suite; the argument is an async function without arguments that makes a
/// [`Fixture`](crate::testing::Fixture).
#[macro_export]
macro_rules! conformance_suite {
    ($open:path) => {
        $crate::conformance_suite! { $open;
            sign_in::a_new_user_gets_a_row_that_says_what_the_request_says,
            sign_in::what_a_new_user_does_not_tell_is_stored_as_0_and_null,
            sign_in::the_same_user_again_gets_the_same_answer_and_writes_nothing,
            sign_in::two_accounts_are_two_users,
            sign_in::accounts_are_told_apart_byte_for_byte,
            sign_in::greater_values_are_stored_in_place,
            sign_in::absent_values_overwrite_nothing,
            sign_in::newer_keys_without_a_generation_become_the_generation,
            sign_in::each_refusal_leaves_the_tables_as_they_were,
            sign_in::an_unknown_account_is_refused_where_registration_is_closed,
            sign_in::an_unknown_account_must_be_on_the_allow_list,
            sign_in::there_are_no_more_users_than_there_may_be,
            sign_in::the_id_of_the_service_may_be_any_number,
            sign_in::rows_of_other_services_are_not_looked_at,
            accounts::an_account_that_is_allowed_becomes_a_user,
            accounts::nobody_is_allowed_where_registration_is_closed_or_the_server_is_full,
            accounts::an_account_that_is_denied_is_refused_and_its_rows_stay_as_they_are,
            accounts::verdicts_are_listed_until_they_are_taken_back,
            accounts::who_was_refused_is_pending_until_the_operator_decides,
            accounts::of_those_who_were_refused_the_last_are_kept,
            accounts::users_are_listed_by_account_and_found_by_any_of_their_names,
            accounts::all_rows_of_an_account_are_replaced_so_that_they_can_be_forgotten,
            devices::a_device_is_noted_when_it_is_new_and_once_a_day,
            devices::a_user_has_no_more_devices_than_there_may_be,
            devices::a_client_that_does_not_say_what_it_is_is_a_device_too,
            devices::what_was_noted_of_a_user_goes_with_the_user,
            moves::a_new_client_state_gets_a_new_uid_and_replaces_the_old_row,
            moves::a_client_state_that_was_replaced_is_refused_for_ever,
            moves::a_new_client_state_takes_no_further_place_on_the_node,
            moves::older_rows_are_marked_as_replaced_at_any_sign_in,
            moves::a_refusal_still_marks_older_rows_as_replaced,
            moves::a_replaced_current_row_is_allocated_anew_with_the_stored_data,
            moves::a_user_whose_node_is_gone_is_allocated_anew,
            moves::a_refused_user_of_a_gone_node_is_not_allocated_anew,
            moves::a_clock_that_was_set_back_does_not_lock_a_user_out,
            moves::a_retired_user_is_refused_except_with_that_very_generation,
            moves::a_retired_user_without_a_node_is_neither_let_in_nor_moved,
            nodes::without_nodes_a_user_is_on_the_public_url,
            nodes::the_least_loaded_node_takes_a_new_user_and_counts_it,
            nodes::a_slash_at_the_end_of_a_url_is_no_part_of_it,
            nodes::nodes_that_are_down_or_back_off_take_nobody_and_keep_their_users,
            nodes::nodes_of_other_services_do_not_count,
            nodes::capacity_is_released_when_no_node_has_places_left,
            nodes::a_node_of_capacity_1_releases_its_place,
            nodes::without_room_nobody_is_let_in_and_nothing_is_written,
            nodes::nodes_that_come_and_go_lose_nobody_a_uid,
            nodes::a_first_node_is_added_once_and_then_left_as_it_is,
            nodes::nodes_are_listed_by_id,
            nodes::a_node_is_changed_by_its_id_or_url,
            nodes::a_node_that_is_drained_keeps_nobody,
            nodes::users_are_counted_by_node,
            operations::a_deleted_account_is_retired_in_all_its_rows,
            operations::a_changed_password_raises_the_generation_of_the_current_row_and_never_lowers_it,
            operations::replaced_rows_are_listed_by_uid_in_pages,
            operations::the_only_row_of_a_user_who_has_not_come_back_is_kept,
            operations::replaced_rows_say_where_the_storage_is_except_on_a_node_that_is_down,
            operations::only_a_replaced_row_can_be_forgotten,
            operations::a_uid_is_never_given_twice,
            operations::users_are_counted_by_account_without_the_retired,
            operations::the_database_belongs_to_one_secret_and_follows_its_rotation,
            operations::the_database_answers_when_asked,
            races::first_sign_ins_of_one_user_at_once_make_one_row,
            races::first_sign_ins_of_one_user_at_once_take_one_place,
            races::a_place_is_given_once,
            races::no_more_new_users_at_once_than_there_may_be,
            races::of_two_new_keys_at_once_one_wins,
            races::a_generation_never_goes_back,
            races::a_node_added_twice_at_once_is_there_once,
            archive::rows_of_every_kind_come_back_as_they_were_loaded,
            archive::what_sign_ins_made_is_dumped_by_uid_and_loaded_again,
            archive::a_number_that_was_given_elsewhere_is_not_given_again,
            archive::a_clear_takes_users_and_nodes_and_keeps_their_numbers,
            archive::rows_of_other_services_are_neither_dumped_nor_cleared,
            archive::a_load_that_fails_leaves_nothing,
        }
    };
    ($open:path; $($module:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::testing::$module::$case(&$open().await).await;
            }
        )*
    };
}

/// When the tests take place, in ms since the epoch.
const NOW: i64 = 1_700_000_000_000;

const ALICE: &str = "a11ce@accounts.example";
const BOB: &str = "b0b@accounts.example";

/// A request at [`NOW`]; 0 is absent.
fn request(email: &str, generation: i64, keys_changed_at: i64, client_state: &str) -> SignIn {
    let account = Account::new(email, Some(generation), Some(keys_changed_at), client_state).unwrap();
    SignIn { account, policy: Arc::default(), now_ms: NOW }
}

fn later(request: SignIn, ms: i64) -> SignIn {
    SignIn { now_ms: request.now_ms + ms, ..request }
}

fn under(request: SignIn, policy: Policy) -> SignIn {
    SignIn { policy: Arc::new(policy), ..request }
}

/// A row of Alice's in use on the public URL, since long ago.
fn alice(generation: i64, keys_changed_at: Option<i64>, client_state: &str) -> StoredUser {
    StoredUser {
        uid: 0,
        service: 0,
        email: ALICE.into(),
        generation,
        client_state: client_state.into(),
        created_at: NOW - 1_000_000,
        replaced_at: None,
        nodeid: 0,
        keys_changed_at,
    }
}

async fn sign_in(t: &dyn Fixture, request: &SignIn) -> SignedIn {
    t.db().sign_in(request).await.unwrap()
}

#[track_caller]
fn assert_refused(result: Result<SignedIn, TokenError>, refusal: Refusal) {
    match result {
        Err(TokenError::Refused(found)) => assert_eq!(found, refusal),
        other => panic!("expected {refusal:?}, found {other:?}"),
    }
}

/// Inserts a row for the service, and gives its uid.
async fn insert(t: &dyn Fixture, row: &StoredUser) -> i64 {
    insert_for(t, SERVICE, row).await
}

async fn insert_for(t: &dyn Fixture, service: &str, row: &StoredUser) -> i64 {
    let null = |value: Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
    let StoredUser { email, generation, client_state, created_at, nodeid, .. } = row;
    let (replaced_at, keys_changed_at) = (null(row.replaced_at), null(row.keys_changed_at));
    t.execute(&format!(
        "INSERT INTO users (service, email, generation, client_state, created_at, replaced_at, nodeid, keys_changed_at)
         VALUES ((SELECT id FROM services WHERE service = '{service}'), '{email}', {generation}, '{client_state}',
                 {created_at}, {replaced_at}, {nodeid}, {keys_changed_at})"
    ))
    .await;
    t.users().await.last().unwrap().uid
}

/// Inserts a node that is up, and gives its id.
async fn insert_node(t: &dyn Fixture, url: &str, available: i64, current_load: i64, capacity: i64) -> i64 {
    t.execute(&format!(
        "INSERT INTO nodes (service, node, available, current_load, capacity, downed, backoff)
         VALUES ((SELECT id FROM services WHERE service = '{SERVICE}'), '{url}', {available}, {current_load}, {capacity},
                 0, 0)"
    ))
    .await;
    node(t, url).await.id
}

/// Adds a service that is none of ours.
async fn insert_other_service(t: &dyn Fixture) -> &'static str {
    t.execute("INSERT INTO services (id, service, pattern) VALUES (77, 'other-1.0', '{node}/1.0/{uid}')").await;
    "other-1.0"
}

async fn node(t: &dyn Fixture, url: &str) -> NodeRow {
    t.db().nodes().await.unwrap().into_iter().find(|node| node.url == url).unwrap()
}

/// The row with this uid.
async fn stored(t: &dyn Fixture, uid: i64) -> StoredUser {
    t.users().await.into_iter().find(|row| row.uid == uid).unwrap()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_stamped() {
        let suite = include_str!("mod.rs");
        let modules = [
            ("accounts", include_str!("accounts.rs")),
            ("devices", include_str!("devices.rs")),
            ("archive", include_str!("archive.rs")),
            ("moves", include_str!("moves.rs")),
            ("nodes", include_str!("nodes.rs")),
            ("operations", include_str!("operations.rs")),
            ("races", include_str!("races.rs")),
            ("sign_in", include_str!("sign_in.rs")),
        ];
        assert_eq!(suite.matches("\npub mod ").count(), modules.len(), "modules of cases");
        for (module, text) in modules {
            for case in text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next()) {
                assert!(suite.contains(&format!(" {module}::{case},\n")), "{module}::{case} is not in the macro");
            }
        }
    }
}
