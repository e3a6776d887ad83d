//! Random operations get the answers of the model, under each kind of options.

use crate::testing::{Backend, random};
use crate::{BatchLimits, Quota};

const OPERATIONS: usize = 1500;

/// With the limits that a server has where nothing is set.
pub async fn random_operations_get_the_answers_of_the_model(backend: &Backend) {
    random::compare(backend, 1, OPERATIONS, |_| {}).await;
}

/// With a quota that is enforced and batches that are soon full.
pub async fn random_operations_under_tight_limits_get_the_answers_of_the_model(backend: &Backend) {
    random::compare(backend, 2, OPERATIONS, |options| {
        options.quota = Some(Quota { limit: 60, enforce: true });
        options.batch = BatchLimits { records: 5, bytes: 60 };
    })
    .await;
}

/// With a quota that is only kept count of.
pub async fn random_operations_with_a_lenient_quota_get_the_answers_of_the_model(backend: &Backend) {
    random::compare(backend, 3, OPERATIONS, |options| options.quota = Some(Quota { limit: 80, enforce: false })).await;
}
