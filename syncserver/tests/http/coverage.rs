//! Every answer that the protocol reference names, with the test that asks for it.
//!
//! A new answer, or a new endpoint, begins with a row here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Endpoint, status, and a test in which it is answered so, by module and function.
const ANSWERS: &[(&str, u16, &str)] = &[
    // Section 2: everything below /1.5 but what is not there.
    ("* /1.5/{uid}…", 401, "auth::every_refusal_is_401_with_body_0_and_none_says_which_it_was"),
    ("* /1.5/{uid}…", 401, "auth_hosts::a_mac_for_another_host_is_explained_in_the_log_and_refused"),
    ("* /1.5/{uid}…", 401, "auth::a_request_is_refused_before_its_body_is_read"),
    ("* /1.5/{uid}…", 401, "auth::a_payload_hash_is_verified_against_the_body"),
    ("* /1.5/{uid}…", 404, "headers::a_path_that_is_not_there_is_404_with_body_0"),
    ("* /1.5/{uid}…", 405, "headers::a_method_that_the_path_does_not_take_is_405"),
    ("* /1.5/{uid}…", 500, "headers::a_fault_is_logged_with_its_cause_and_never_shown_to_the_client"),
    ("* /1.5/{uid}…", 503, "clients::early_firefox_for_ios_gets_503_with_body_0"),
    ("HEAD /1.5/{uid}…", 200, "headers::head_is_answered_as_get_without_the_body"),
    ("HEAD /1.5/{uid}…", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("OPTIONS *", 200, "cors::a_preflight_is_answered_on_every_route_before_hawk"),
    // Section 3: what there is.
    ("GET /info/collections", 200, "info::info_collections_has_the_time_of_each_collection_with_two_decimals"),
    ("GET /info/collections", 200, "auth::an_expired_token_may_ask_for_info_collections_and_nothing_else"),
    ("GET /info/collections", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /info/collections", 400, "preconditions::what_is_no_plain_number_is_400"),
    ("GET /info/collections", 412, "preconditions::a_read_of_what_was_modified_since_is_412_where_it_must_not_be"),
    ("GET /info/collection_counts", 200, "info::counts_and_usage_are_of_unexpired_records_alone"),
    ("GET /info/collection_counts", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /info/collection_counts", 400, "preconditions::both_headers_at_once_are_400"),
    (
        "GET /info/collection_counts",
        412,
        "preconditions::a_read_of_what_was_modified_since_is_412_where_it_must_not_be",
    ),
    ("GET /info/collection_usage", 200, "info::counts_and_usage_are_of_unexpired_records_alone"),
    ("GET /info/collection_usage", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /info/collection_usage", 400, "preconditions::what_is_no_plain_number_is_400"),
    ("GET /info/collection_usage", 412, "preconditions::a_read_of_what_was_modified_since_is_412_where_it_must_not_be"),
    ("GET /info/quota", 200, "quota::what_is_left_of_the_quota_is_told_in_kb_on_every_write"),
    ("GET /info/quota", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /info/quota", 400, "preconditions::what_is_no_plain_number_is_400"),
    ("GET /info/quota", 412, "preconditions::a_read_of_what_was_modified_since_is_412_where_it_must_not_be"),
    ("GET /info/configuration", 200, "info::the_configuration_tells_the_limits"),
    ("GET /info/configuration", 400, "preconditions::both_headers_at_once_are_400"),
    // The store.
    ("DELETE /", 200, "deletes::a_delete_of_the_store_takes_everything_but_its_time"),
    ("DELETE /", 400, "deletes::a_delete_never_deletes_more_than_it_names"),
    ("DELETE /", 412, "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written"),
    ("DELETE /storage", 200, "deletes::a_delete_of_the_store_takes_everything_but_its_time"),
    ("DELETE /storage", 400, "deletes::a_delete_never_deletes_more_than_it_names"),
    ("DELETE /storage", 412, "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written"),
    // A collection.
    ("GET /storage/{collection}", 200, "collection_get::a_list_is_of_ids_or_of_records_where_full_is_there"),
    ("GET /storage/{collection}", 200, "collection_get::lines_are_the_values_of_the_list_each_ended_by_a_newline"),
    ("GET /storage/{collection}", 200, "paging::no_page_skips_or_repeats_a_record_that_nobody_touched"),
    ("GET /storage/{collection}", 200, "big::a_get_without_limit_is_complete_for_fast_and_slow_readers"),
    ("GET /storage/{collection}", 200, "compression::an_answer_comes_in_the_encoding_that_the_client_asks_for"),
    ("GET /storage/{collection}", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /storage/{collection}", 400, "collection_get::an_invalid_parameter_is_400_and_an_unknown_one_is_ignored"),
    ("GET /storage/{collection}", 400, "paging::an_offset_goes_with_its_own_query_alone"),
    ("GET /storage/{collection}", 400, "records::an_invalid_collection_name_is_400_with_body_13"),
    ("GET /storage/{collection}", 406, "collection_get::a_list_comes_as_json_or_as_lines_and_as_nothing_else"),
    ("GET /storage/{collection}", 412, "paging::a_page_says_when_the_collection_was_modified_meanwhile"),
    ("POST /storage/{collection}", 200, "collection_post::a_post_answers_its_time_and_what_became_of_each_record"),
    ("POST /storage/{collection}", 200, "collection_post::an_invalid_record_fails_alone"),
    ("POST /storage/{collection}", 200, "limits::what_a_request_has_too_much_of_fails_with_a_word_to_send_it_again"),
    ("POST /storage/{collection}", 400, "limits::an_announced_size_over_the_limit_is_400_with_body_17"),
    ("POST /storage/{collection}", 400, "limits::an_announced_total_without_a_batch_is_400_with_body_1"),
    (
        "POST /storage/{collection}",
        400,
        "collection_post::a_body_that_cannot_be_taken_as_a_whole_is_400_with_body_8_and_nothing_is_stored",
    ),
    ("POST /storage/{collection}", 400, "writes::keys_that_would_lock_the_user_out_are_refused"),
    (
        "POST /storage/{collection}",
        403,
        "quota::a_write_that_would_pass_the_quota_is_403_with_body_14_and_nothing_of_it_is_stored",
    ),
    ("POST /storage/{collection}", 412, "preconditions::of_two_devices_that_write_at_once_one_is_told_to_start_over"),
    ("POST /storage/{collection}", 413, "limits::a_body_that_is_too_large_is_refused_before_it_is_read_whole"),
    ("POST /storage/{collection}", 413, "compression::a_small_bomb_is_413"),
    ("POST /storage/{collection}", 415, "collection_post::a_body_is_a_list_or_lines_by_its_content_type"),
    ("POST /storage/{collection}?batch", 200, "batches::a_batch_is_invisible_until_its_commit_and_then_has_one_time"),
    ("POST /storage/{collection}?batch", 202, "batches::a_batch_is_invisible_until_its_commit_and_then_has_one_time"),
    ("POST /storage/{collection}?batch", 400, "batches::a_batch_that_is_not_open_is_400_and_nothing_is_stored"),
    ("POST /storage/{collection}?batch", 400, "batches::what_a_batch_really_holds_is_limited"),
    (
        "POST /storage/{collection}?batch",
        400,
        "batches::a_commit_without_a_batch_or_with_another_value_than_true_is_400",
    ),
    (
        "POST /storage/{collection}?batch",
        403,
        "quota::a_write_that_would_pass_the_quota_is_403_with_body_14_and_nothing_of_it_is_stored",
    ),
    ("POST /storage/{collection}?batch", 412, "batches::the_condition_is_checked_on_each_request_of_a_batch"),
    ("DELETE /storage/{collection}", 200, "deletes::a_delete_of_a_collection_takes_its_record_in_info_collections_too"),
    ("DELETE /storage/{collection}", 200, "deletes::a_delete_in_a_collection_that_is_not_there_writes_nothing"),
    ("DELETE /storage/{collection}", 400, "deletes::a_delete_never_deletes_more_than_it_names"),
    (
        "DELETE /storage/{collection}",
        412,
        "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written",
    ),
    ("DELETE /storage/{collection}?ids", 200, "deletes::a_delete_by_ids_takes_those_and_the_collection_stays"),
    ("DELETE /storage/{collection}?ids", 400, "deletes::a_delete_names_at_most_100_ids"),
    (
        "DELETE /storage/{collection}?ids",
        412,
        "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written",
    ),
    // A record.
    ("GET /storage/{collection}/{id}", 200, "records::a_record_has_four_fields_and_the_sortindex_only_where_it_is_set"),
    ("GET /storage/{collection}/{id}", 304, "preconditions::a_read_of_what_was_not_modified_since_is_304"),
    ("GET /storage/{collection}/{id}", 400, "records::an_invalid_id_is_400_with_body_8"),
    ("GET /storage/{collection}/{id}", 404, "records::an_absent_record_is_404_with_body_0_for_get_and_delete"),
    (
        "GET /storage/{collection}/{id}",
        412,
        "preconditions::a_read_of_what_was_modified_since_is_412_where_it_must_not_be",
    ),
    ("PUT /storage/{collection}/{id}", 200, "records::a_put_answers_its_time_as_a_bare_number"),
    ("PUT /storage/{collection}/{id}", 400, "writes::an_invalid_record_is_400_with_body_8_and_nothing_is_stored"),
    (
        "PUT /storage/{collection}/{id}",
        403,
        "quota::a_write_that_would_pass_the_quota_is_403_with_body_14_and_nothing_of_it_is_stored",
    ),
    (
        "PUT /storage/{collection}/{id}",
        412,
        "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written",
    ),
    ("PUT /storage/{collection}/{id}", 413, "writes::a_payload_over_the_limit_is_413"),
    ("PUT /storage/{collection}/{id}", 415, "writes::a_record_comes_as_json_text_or_a_line_and_nothing_else"),
    (
        "PUT /storage/{collection}/{id}",
        503,
        "writes::a_burst_of_one_user_ends_in_503_with_retry_after_and_loses_nothing",
    ),
    (
        "DELETE /storage/{collection}/{id}",
        200,
        "records::a_delete_of_a_record_answers_its_time_and_the_collection_gets_it",
    ),
    ("DELETE /storage/{collection}/{id}", 400, "records::an_invalid_id_is_400_with_body_8"),
    ("DELETE /storage/{collection}/{id}", 404, "records::an_absent_record_is_404_with_body_0_for_get_and_delete"),
    (
        "DELETE /storage/{collection}/{id}",
        412,
        "preconditions::a_write_to_what_was_modified_since_is_412_and_nothing_is_written",
    ),
    // Section 8: tokens.
    ("GET /1.0/sync/1.5", 200, "tokenserver_answers::an_answer_has_these_members_and_no_others"),
    ("GET /1.0/sync/1.5", 400, "tokenserver_errors::a_client_state_has_to_be_well_formed"),
    ("GET /1.0/sync/1.5", 401, "tokenserver_errors::no_authorization_is_told_as_such"),
    ("GET /1.0/sync/1.5", 401, "tokenserver_errors::another_scheme_is_unsupported"),
    ("GET /1.0/sync/1.5", 401, "tokenserver_errors::a_bad_token_is_invalid_credentials_whatever_characters_it_has"),
    ("GET /1.0/sync/1.5", 401, "tokenserver_errors::no_key_id_is_told_as_such"),
    ("GET /1.0/sync/1.5", 401, "tokenserver_errors::a_client_state_has_to_be_that_of_the_key_id"),
    ("GET /1.0/sync/1.5", 403, "sign_in::when_registration_is_closed_only_users_sign_in"),
    ("GET /1.0/sync/1.5", 403, "registration::an_account_that_is_denied_gets_no_token_and_keeps_its_data"),
    ("GET /1.0/sync/1.5", 404, "tokenserver_errors::another_application_or_version_is_not_found"),
    ("GET /1.0/sync/1.5", 405, "tokenserver_errors::another_method_is_not_allowed"),
    (
        "GET /1.0/sync/1.5",
        500,
        "tokenserver_errors::what_nobody_foresaw_is_an_internal_error_that_tells_the_client_nothing",
    ),
    ("GET /1.0/sync/1.5", 503, "access_tokens::an_accounts_server_that_does_not_answer_is_503_soon"),
    ("GET /1.0/sync/1.5", 503, "access_tokens::the_accounts_server_is_asked_about_a_few_tokens_at_once"),
    ("GET /1.0/sync/1.5", 503, "nodes::a_full_house_is_503_and_the_log_says_what_to_change"),
    (
        "GET /1.0/sync/1.5",
        503,
        "tokenserver_errors::a_database_that_does_not_answer_is_unavailable_and_a_client_comes_back",
    ),
    ("GET /", 200, "front_page::the_front_page_shows_the_url_to_paste"),
    ("GET /", 200, "front_page::a_server_that_only_stores_tells_people_not_to_point_firefox_at_it"),
    ("GET /", 200, "tokenserver_answers::every_address_that_users_paste_gives_a_token"),
    // Section 9: events.
    ("POST /1.0/webhooks/fxa/events", 200, "webhooks::a_deleted_account_is_retired"),
    ("POST /1.0/webhooks/fxa/events", 401, "webhooks::only_the_accounts_server_is_believed"),
    ("POST /1.0/webhooks/fxa/events", 404, "webhooks::webhooks_are_off_unless_they_are_switched_on"),
    ("POST /1.0/webhooks/fxa/events", 405, "webhooks::under_a_public_url_with_a_path_events_arrive_there"),
    (
        "POST /1.0/webhooks/fxa/events",
        500,
        "webhooks::a_database_that_does_not_answer_makes_the_accounts_server_send_the_event_again",
    ),
    ("POST /1.0/webhooks/fxa/events", 503, "webhooks::an_event_that_comes_before_any_key_is_known_is_to_be_sent_again"),
    // Section 10: operations.
    ("GET /__heartbeat__", 200, "ops::the_heartbeat_says_that_all_is_well"),
    ("GET /__heartbeat__", 503, "ops::the_heartbeat_is_503_when_the_database_fails"),
    ("GET /__lbheartbeat__", 200, "ops::the_load_balancers_heartbeat_does_not_touch_the_database"),
    ("GET /__version__", 200, "ops::the_version_is_told"),
    ("GET /api-doc/openapi.json", 200, "api_doc::the_description_is_this_servers"),
    ("* *", 405, "api_doc::each_path_of_the_description_takes_the_methods_that_it_names_and_says_so_of_others"),
    ("GET /__error__", 404, "ops::there_is_no_page_that_fails_on_purpose_and_no_metrics_on_the_public_port"),
    ("GET /metrics", 404, "ops::there_is_no_page_that_fails_on_purpose_and_no_metrics_on_the_public_port"),
];

/// The statuses of section 5, with those of success. No answer of this server is 409: what could be one is 503.
const STATUSES: [u16; 14] = [200, 202, 304, 400, 401, 403, 404, 405, 406, 412, 413, 415, 500, 503];

#[test]
fn every_test_of_the_table_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/http");
    let mut sources = BTreeMap::new();
    for (endpoint, status, test) in ANSWERS {
        let (module, function) = test.split_once("::").unwrap();
        let source = sources.entry(module).or_insert_with(|| {
            let file = folder.join(format!("{module}.rs"));
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        });
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let place = lines.iter().position(|line| {
            [format!("async fn {function}("), format!("fn {function}(")].iter().any(|start| line.starts_with(start))
        });
        let is_test = place.is_some_and(|place| matches!(lines[place - 1], "#[test]" | "#[tokio::test]"));
        assert!(is_test, "{endpoint}, {status}: there is no test {test}");
    }
}

#[test]
fn every_status_is_in_the_table_and_no_row_is_there_twice() {
    let found: BTreeSet<u16> = ANSWERS.iter().map(|(_, status, _)| *status).collect();
    assert_eq!(found, BTreeSet::from(STATUSES));
    let rows: BTreeSet<_> = ANSWERS.iter().collect();
    assert_eq!(rows.len(), ANSWERS.len());
}
