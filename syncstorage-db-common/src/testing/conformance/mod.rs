//! What every backend must do, case by case.
//!
//! Each case is a public async function over a [`Backend`](super::Backend) that opens the databases it needs. Cases
//! keep to users of their own, so that they can run side by side on one database, except for those that ask for a
//! database of their own. [`storage_conformance!`](crate::storage_conformance) stamps a test for each.

pub mod batch_ids;
pub mod batch_limits;
pub mod batches;
pub mod concurrency;
pub mod deletes;
pub mod expiry;
pub mod info;
pub mod operations;
pub mod paging;
pub mod preconditions;
pub mod purge;
pub mod queries;
pub mod quota;
pub mod random_operations;
pub mod records;
pub mod times;
pub mod two_servers;
pub mod updates;

/// Stamps one `#[test]` for every case of the conformance suite, where it stands.
///
/// `storage_conformance!(open)`, where `open` is an `async fn(DbOptions) -> impl Into<TestDb>` that gives an empty
/// database which nothing else uses: a [`TestDb`](crate::testing::TestDb), or an `Arc` of the backend.
///
/// `storage_conformance!(open, shared = open_shared)`, where a new database for each case would take too long:
/// `open_shared` may give one and the same database to all cases that ask for it, and they use it at the same time,
/// each with users, a clock and options of its own. `open` is still asked for by the cases that concern the whole
/// database.
#[macro_export]
macro_rules! storage_conformance {
    ($open:path) => {
        $crate::storage_conformance! { @all $crate::testing::Backend::new($open) }
    };
    ($open:path, shared = $shared:path) => {
        $crate::storage_conformance! { @all $crate::testing::Backend::new($open).sharing($shared) }
    };
    (@all $backend:expr) => {
        $crate::storage_conformance! { @cases $backend; operations {
            the_database_answers_a_check
            the_pool_has_no_more_connections_than_it_may
            the_first_secret_claims_the_database
            a_rotated_secret_takes_the_place_of_a_previous_one
            a_secret_may_be_rotated_by_several_at_once
            another_secret_is_refused_and_the_old_one_kept
        } }
        $crate::storage_conformance! { @cases $backend; records {
            a_record_comes_back_as_it_was_written
            a_new_record_without_fields_gets_the_defaults
            a_payload_of_any_unicode_comes_back_exactly
            a_payload_of_two_megabytes_comes_back_exactly
            ids_that_differ_by_case_or_spaces_are_different_records
            an_id_may_be_any_printable_ascii
            the_sortindex_goes_to_its_bounds
            collections_that_differ_by_case_are_different
            a_collection_may_have_any_allowed_name
            each_of_many_new_collections_keeps_its_own_records
            users_do_not_see_each_other
            a_user_id_may_be_any_number_of_63_bits
            a_second_write_replaces_the_first
            a_write_creates_the_collection
            a_post_of_no_records_creates_the_collection
            a_post_writes_many_records_at_once
            a_collection_outlives_its_last_record
        } }
        $crate::storage_conformance! { @cases $backend; updates {
            an_absent_field_stays_and_a_null_field_is_reset
            a_payload_or_a_sortindex_moves_modified
            a_change_of_the_ttl_alone_leaves_modified
            a_new_record_gets_the_time_of_the_write_whatever_its_fields
            one_post_may_move_some_records_and_leave_others
            an_absent_ttl_keeps_the_expiry
            a_null_ttl_takes_the_expiry_away
            a_new_ttl_counts_from_its_own_write
        } }
        $crate::storage_conformance! { @cases $backend; expiry {
            a_ttl_of_zero_is_absent_at_once
            a_record_expires_at_its_millisecond
            expiry_changes_no_times
            a_ttl_of_the_longest_kind_keeps_a_record_for_decades
            a_record_without_ttl_never_expires
            an_expired_record_that_is_overwritten_starts_afresh
            an_expired_record_cannot_be_deleted
            an_expired_record_counts_as_never_modified
            expired_records_take_no_place_in_a_page
            a_ttl_counts_from_the_clock_where_the_write_time_is_ahead
            a_ttl_counts_from_the_clock_where_that_was_set_back
        } }
        $crate::storage_conformance! { @cases $backend; times {
            a_write_gets_the_time_of_the_clock
            all_that_a_write_touches_gets_its_time
            writes_in_the_same_tick_get_different_times
            a_write_is_later_than_one_to_another_collection
            users_have_times_of_their_own
            what_writes_nothing_moves_no_time
            times_increase_though_the_clock_is_set_back
            a_clock_that_was_set_back_holds_no_write_up
            a_burst_runs_at_most_two_seconds_ahead_of_the_clock
            a_write_goes_through_when_the_clock_has_come_on
        } }
        $crate::storage_conformance! { @cases $backend; info {
            a_new_user_has_nothing
            the_collections_are_listed_with_their_times
            the_answers_are_stamped_by_the_store
            counts_and_usage_list_what_has_unexpired_records
            counts_and_usage_follow_the_writes
            asking_for_news_of_the_store_is_cheap_to_refuse
        } }
        $crate::storage_conformance! { @cases $backend; queries {
            newer_is_strictly_greater
            older_is_strictly_smaller
            filters_narrow_each_other
            nothing_is_newer_than_the_collection
            ids_select_the_records_they_name
            an_empty_list_of_ids_selects_nothing
            a_hundred_ids_select_a_hundred_records
            the_orders_by_time_are_each_others_reverse
            the_order_by_sortindex_has_none_last
            a_limit_is_kept_to
            a_limit_of_zero_gives_nothing
            a_read_without_limit_gives_all
            a_read_is_stamped_by_the_collection
            a_receiver_that_fails_ends_the_read
        } }
        $crate::storage_conformance! { @cases $backend; paging {
            records_of_one_time_are_paged_without_gaps
            records_of_one_sortindex_are_paged_without_gaps
            ids_that_a_collation_would_confuse_are_paged_one_by_one
            a_filtered_read_is_paged_as_well
            the_limit_may_change_from_page_to_page
            the_cursor_names_the_last_record_of_the_page
            a_page_begins_after_a_record_that_has_gone
            writes_between_pages_neither_skip_nor_repeat_a_record
            paging_from_the_oldest_sees_what_is_written_meanwhile
            a_page_may_be_bound_to_the_time_of_the_first
        } }
        $crate::storage_conformance! { @cases $backend; preconditions {
            a_condition_of_a_read_is_compared_with_its_resource
            a_condition_of_a_write_is_compared_with_its_resource
            a_condition_of_a_batch_is_compared_with_the_collection
            a_refused_condition_leaves_the_batch_as_it_was
            a_condition_is_judged_before_the_batch_is_looked_for
            an_absent_record_is_not_found_under_any_condition
            what_is_absent_was_never_modified
            what_was_deleted_was_never_modified_but_the_store
            a_record_whose_ttl_was_changed_is_unmodified
        } }
        $crate::storage_conformance! { @cases $backend; batches {
            nothing_of_a_batch_shows_before_its_commit
            a_commit_writes_all_of_a_batch_at_one_time
            the_requests_of_a_batch_are_stamped_by_the_collection
            a_record_that_comes_again_is_merged_field_by_field
            the_records_of_the_commit_request_win
            an_append_touches_only_its_own_records
            a_commit_changes_the_records_as_they_are_then
            a_commit_stamps_every_record_whatever_its_fields
            a_ttl_in_a_batch_counts_from_the_commit
            records_of_a_batch_without_ttl_never_expire
            an_empty_batch_creates_the_collection_at_its_commit
            open_batches_do_not_mix
            a_batch_holds_thousands_of_records
            other_writes_leave_an_open_batch_alone
            a_wipe_of_the_store_ends_its_open_batches
            a_wipe_of_a_collection_ends_its_open_batches
            a_wipe_of_a_collection_that_is_not_there_yet_ends_its_open_batches
        } }
        $crate::storage_conformance! { @cases $backend; batch_ids {
            a_committed_batch_is_not_found
            the_batch_of_another_user_is_not_found
            the_batch_of_another_collection_is_not_found
            a_made_up_batch_id_is_not_found
            a_batch_is_found_for_two_hours
            a_stale_batch_leaves_nothing_to_the_next_one
        } }
        $crate::storage_conformance! { @cases $backend; batch_limits {
            a_batch_is_not_opened_over_the_limits
            an_append_over_the_limits_leaves_the_batch_as_it_was
            a_commit_over_the_limits_leaves_the_batch_as_it_was
            a_record_that_comes_again_counts_once
            a_batch_is_measured_in_bytes
            the_limits_are_those_of_one_batch
        } }
        $crate::storage_conformance! { @cases $backend; deletes {
            a_deleted_record_is_gone_and_nothing_else
            an_absent_record_cannot_be_deleted
            a_list_of_ids_deletes_what_is_there_of_it
            a_list_that_deletes_nothing_stamps_the_collection
            a_long_list_of_ids_is_deleted_at_once
            a_deleted_collection_is_gone_and_nothing_else
            deleting_from_a_collection_that_is_not_there_writes_nothing
            a_deleted_collection_starts_afresh
            a_deleted_record_starts_afresh
            a_deleted_store_leaves_only_its_time
            an_empty_store_can_be_deleted
            the_time_of_a_deleted_store_is_remembered
            the_time_of_the_store_never_goes_back
            without_a_quota_no_write_tells_what_is_left
        } }
        $crate::storage_conformance! { @cases $backend; quota {
            every_write_tells_what_is_left_of_the_quota
            what_has_expired_does_not_count
            a_write_that_would_pass_the_quota_is_refused
            a_post_over_the_quota_is_refused_as_a_whole
            a_commit_over_the_quota_leaves_the_batch
            a_quota_that_is_not_enforced_refuses_nothing
            a_deletion_makes_room
            every_user_has_a_quota_of_their_own
        } }
        $crate::storage_conformance! { @cases $backend; concurrency {
            of_eight_first_puts_of_a_record_one_wins
            of_eight_first_posts_to_a_collection_one_wins
            of_eight_updates_of_one_state_one_wins
            of_eight_commits_of_a_batch_one_wins
            concurrent_writers_of_one_user_get_distinct_increasing_times
            a_reader_sees_whole_states_only
            concurrent_appends_all_get_into_the_batch
            concurrent_appends_keep_to_the_limits
            first_writes_of_many_users_to_a_new_collection_all_succeed
            wipes_and_writes_follow_each_other
            concurrent_writes_do_not_pass_the_quota
        } }
        $crate::storage_conformance! { @cases $backend; purge {
            a_purge_of_nothing_removes_nothing
            a_purge_removes_what_has_expired_and_nothing_else
            a_purge_keeps_to_its_budget
            a_purge_removes_stale_batches_and_leaves_open_ones
            a_purge_comes_to_an_end_by_single_rows
            writes_go_on_during_a_purge
        } }
        $crate::storage_conformance! { @cases $backend; random_operations {
            random_operations_get_the_answers_of_the_model
            random_operations_under_tight_limits_get_the_answers_of_the_model
            random_operations_with_a_lenient_quota_get_the_answers_of_the_model
        } }
    };
    (@cases $backend:expr; $module:ident { $($case:ident)* }) => {
        $(
            #[test]
            fn $case() {
                $crate::testing::run(&$backend, $crate::testing::conformance::$module::$case);
            }
        )*
    };
}

/// Stamps one `#[test]` for every case that takes two servers on one database, where it stands.
///
/// In `storage_conformance_of_two_servers!(open)`, each call of `open` opens one and the same database anew, with a pool
/// or a writer of its own, as another process would.
#[macro_export]
macro_rules! storage_conformance_of_two_servers {
    ($open:path) => {
        $crate::storage_conformance! { @cases $crate::testing::Backend::new($open); two_servers {
            what_one_server_writes_the_other_one_reads
            a_batch_may_go_on_at_another_server
            of_eight_first_puts_at_two_servers_one_wins
            writers_at_two_servers_get_distinct_increasing_times
            a_new_collection_is_the_same_at_both_servers
            a_user_over_a_lowered_quota_may_only_shrink
        } }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, LazyLock};

    use crate::DbOptions;
    use crate::testing::ModelDb;

    static SHARED: LazyLock<ModelDb> = LazyLock::new(|| ModelDb::new(DbOptions::default()));

    async fn open(options: DbOptions) -> Arc<ModelDb> {
        Arc::new(ModelDb::new(options))
    }

    async fn open_shared(options: DbOptions) -> Arc<ModelDb> {
        Arc::new(SHARED.beside(options))
    }

    /// The suite agrees with itself: the model passes it.
    mod each_with_a_model_of_its_own {
        crate::storage_conformance!(super::open);
    }

    /// The cases bear each other's company.
    mod all_with_one_model {
        crate::storage_conformance!(super::open, shared = super::open_shared);
    }

    mod two_servers {
        crate::storage_conformance_of_two_servers!(super::open_shared);
    }

    /// A case that no test is stamped for would never run, and nobody would notice.
    #[test]
    fn every_case_is_stamped() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/testing/conformance");
        let list = fs::read_to_string(folder.join("mod.rs")).unwrap();
        let (list, _) = list.split_once("#[cfg(test)]").unwrap();
        let stamped: BTreeSet<&str> = list.split_whitespace().collect();
        let mut cases = 0;
        for file in fs::read_dir(folder).unwrap() {
            let source = fs::read_to_string(file.unwrap().path()).unwrap();
            for case in source.lines().filter_map(|line| line.strip_prefix("pub async fn ")) {
                let (name, _) = case.split_once('(').unwrap();
                assert!(stamped.contains(name), "{name} is in no list of storage_conformance!");
                cases += 1;
            }
        }
        assert!(cases > 100, "the sources of the cases were not found");
    }
}
