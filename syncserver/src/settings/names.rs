//! Which names are settings, and which one a wrong name may have meant.

use strsim::damerau_levenshtein;

use super::reference::{settings, variable};

/// Settings whose value may stand in a file of its own, named by a setting that ends in `_file`.
pub(super) const HAVE_A_FILE: [&str; 6] = [
    "master_secret",
    "previous_master_secrets",
    "metrics_token",
    "syncstorage.database_url",
    "tokenserver.database_url",
    "tokenserver.fxa_metrics_hash_secret",
];

/// Settings that are known and checked, and that nothing reads so far.
pub(super) const NO_EFFECT_YET: [&str; 1] = ["syncstorage.spanner_emulator_host"];

/// Settings of other Sync servers that mean nothing in this one. A deployment that comes from there keeps them.
const IGNORED: [&str; 10] = [
    "tokenserver.additional_blocking_threads_for_fxa_requests",
    "tokenserver.database_request_timeout",
    "tokenserver.spanner_node_id",
    "syncstorage.glean_enabled",
    "syncstorage.database_pool_sweeper_task_interval",
    "syncstorage.database_spanner_route_to_leader",
    "syncstorage.gcs_payload_bucket",
    "syncstorage.gcs_payload_offload_collections",
    "syncstorage.gcs_payload_max_concurrency",
    "syncstorage.gcs_endpoint",
];

/// Variables that begin like settings and belong to one command: `syncserver import`.
pub(super) const OF_COMMANDS: [&str; 2] = ["SYNC_IMPORT_FROM", "SYNC_IMPORT_TOKENSERVER_FROM"];

/// The one setting whose value is a table, so that the names in it are no settings.
pub(super) const COLLECTIONS: &str = "syncstorage.limits.collections";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The setting with this path.
    Setting(&'static str),
    /// The setting with this path, whose value is in a file.
    FileOf(&'static str),
    /// A setting that means nothing here.
    Ignored,
    /// A section of the file.
    Section,
    /// Nothing.
    Unknown,
}

impl Name {
    /// Of a name in the settings file, with that of its section before it.
    pub(super) fn in_file(path: &str) -> Self {
        if let Some(setting) = settings().iter().find(|setting| setting.path == path) {
            return Self::Setting(&setting.path);
        }
        if let Some(of) = HAVE_A_FILE.iter().find(|of| path.strip_suffix("_file") == Some(of)) {
            return Self::FileOf(of);
        }
        if IGNORED.contains(&path) {
            return Self::Ignored;
        }
        let is_section = |of: &str| of.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        if settings().iter().any(|setting| is_section(&setting.path)) { Self::Section } else { Self::Unknown }
    }

    /// Of a variable of the environment.
    pub(super) fn in_environment(name: &str) -> Self {
        if let Some(setting) = settings().iter().find(|setting| setting.variable == name) {
            return Self::Setting(&setting.path);
        }
        if let Some(of) = HAVE_A_FILE.iter().find(|of| name.strip_suffix("_FILE") == Some(variable(of).as_str())) {
            return Self::FileOf(of);
        }
        if IGNORED.iter().any(|path| variable(path) == name) { Self::Ignored } else { Self::Unknown }
    }
}

/// The setting or section in the settings file that is most like an unknown one. The right name in a wrong
/// section is closest.
pub(super) fn nearest_in_file(path: &str) -> &'static str {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |of: &str| {
        let in_another_section = damerau_levenshtein(&last(path), &last(of)) + 1;
        damerau_levenshtein(path, of).min(in_another_section)
    };
    let names = settings().iter().map(|setting| setting.path.as_str());
    let sections = names.clone().filter_map(|path| path.rsplit_once('.')).map(|(section, _)| section);
    names.chain(sections).min_by_key(|of| distance(of)).unwrap_or_default()
}

/// The variable that is most like an unknown one, and whether that one can hardly be anything else than a wrong
/// spelling of it: it has the `__` that other programs do not use, or differs in few letters.
pub(super) fn nearest_in_environment(name: &str) -> (&'static str, bool) {
    // The prefix, which all have, must not make short names look alike.
    let bare = |name: &str| name.strip_prefix("SYNC_").unwrap_or(name).to_owned();
    let name = bare(name);
    let nearest = settings()
        .iter()
        .map(|setting| (damerau_levenshtein(&name, &bare(&setting.variable)), setting.variable.as_str()))
        .min_by_key(|(distance, _)| *distance);
    let (distance, nearest) = nearest.unwrap_or((usize::MAX, ""));
    // Two wrong letters of four may be another word; one of four, or two of eight, hardly.
    let allowed = (name.chars().count() / 4).clamp(1, 3);
    (nearest, name.contains("__") || distance <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_hold_only_settings_that_they_may_hold() {
        for path in HAVE_A_FILE.iter().chain(&NO_EFFECT_YET).chain([&COLLECTIONS]) {
            assert!(matches!(Name::in_file(path), Name::Setting(_)), "{path}");
        }
        for path in IGNORED {
            assert_eq!(Name::in_file(path), Name::Ignored, "{path}");
            assert_eq!(Name::in_environment(&variable(path)), Name::Ignored, "{path}");
        }
    }

    #[test]
    fn names_are_told_apart() {
        assert_eq!(Name::in_file("port"), Name::Setting("port"));
        assert_eq!(Name::in_file("syncstorage"), Name::Section);
        assert_eq!(Name::in_file("syncstorage.limits"), Name::Section);
        assert_eq!(Name::in_file("sync"), Name::Unknown);
        assert_eq!(Name::in_file("port_file"), Name::Unknown);
        assert_eq!(Name::in_file("master_secret_file"), Name::FileOf("master_secret"));
        assert_eq!(Name::in_environment("SYNC_PORT"), Name::Setting("port"));
        assert_eq!(Name::in_environment("SENTRY_DSN"), Name::Setting("sentry_dsn"));
        assert_eq!(
            Name::in_environment("SYNC_TOKENSERVER__DATABASE_URL_FILE"),
            Name::FileOf("tokenserver.database_url")
        );
        assert_eq!(Name::in_environment("SYNC_syncstorage__enabled"), Name::Unknown);
    }

    #[test]
    fn a_wrong_name_finds_the_right_one() {
        for (wrong, right) in [
            ("prot", "port"),
            ("tokensever", "tokenserver"),
            ("syncstorage.limit", "syncstorage.limits"),
            ("database_url", "syncstorage.database_url"),
            ("tokenserver.database_ulr", "tokenserver.database_url"),
            ("syncstorage.max_post_bytes", "syncstorage.limits.max_post_bytes"),
            ("sync_storage.enforce_quota", "syncstorage.enforce_quota"),
            ("tokenserver.fxa_oauth_primary_jwk.fxa-createdAt", "tokenserver.fxa_oauth_primary_jwk.fxa_created_at"),
        ] {
            assert_eq!(nearest_in_file(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn only_a_variable_that_looks_like_ours_is_taken_for_one() {
        for (wrong, right) in [
            ("SYNC_PROT", "SYNC_PORT"),
            ("SYNC_MASTER_SECRT", "SYNC_MASTER_SECRET"),
            ("SYNC_SYNCSTORAGE__DATABASEURL", "SYNC_SYNCSTORAGE__DATABASE_URL"),
            ("SYNC_SENTRY_DSN", "SENTRY_DSN"),
        ] {
            assert_eq!(nearest_in_environment(wrong), (right, true), "{wrong}");
        }
        for other in ["SYNC_TARGET_DIR", "SYNC_GATEWAY_URL", "SYNC_", "SYNC_TOKEN"] {
            assert!(!nearest_in_environment(other).1, "{other}");
        }
    }
}
