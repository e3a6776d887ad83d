//! `config/syncserver.toml` is the one list of settings: what they are called, what they do, what they are unless set.
//! It is taken apart here; nothing else in the program names a default.
//!
//! Its form: `# ` begins prose, `#name = value` is a setting with its default, `#name =  # example: value` one that
//! has none. The prose of a setting stands right above it.

use std::sync::LazyLock;

const TEXT: &str = include_str!("../../../config/syncserver.toml");

/// What stands in place of a default.
const EXAMPLE: &str = "# example:";

/// The commented settings file that documents every setting.
#[must_use]
pub fn reference() -> &'static str {
    TEXT
}

/// One setting, as the reference has it.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name with that of its section before it: `syncstorage.limits.max_post_bytes`.
    pub(super) path: String,
    /// Its name in the environment.
    pub(super) variable: String,
    /// The default, as TOML.
    pub(super) default: Option<&'static str>,
    /// The default, or an example of a value where there is none: what a value looks like, as TOML.
    pub(super) shape: &'static str,
}

/// All settings, in the order of the reference.
pub(super) fn settings() -> &'static [Setting] {
    static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        let mut section = String::new();
        let mut settings = Vec::new();
        for line in TEXT.lines() {
            match Line::of(line) {
                Line::Section(name) => section = format!("{name}."),
                Line::Setting { name, value } => {
                    let path = format!("{section}{name}");
                    let default = (!value.starts_with(EXAMPLE)).then_some(value);
                    let shape = value.trim_start_matches(EXAMPLE).trim_start();
                    settings.push(Setting { variable: variable(&path), path, default, shape });
                }
                Line::Other => {}
            }
        }
        settings
    });
    &SETTINGS
}

/// The name of a setting in the environment.
pub(super) fn variable(path: &str) -> String {
    match path {
        // The name by which every program knows it.
        "sentry_dsn" => "SENTRY_DSN".to_owned(),
        path => format!("SYNC_{}", path.to_ascii_uppercase().replace('.', "__")),
    }
}

enum Line {
    Section(&'static str),
    Setting { name: &'static str, value: &'static str },
    Other,
}

impl Line {
    fn of(line: &'static str) -> Self {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::Section(section);
        }
        match line.strip_prefix('#').and_then(|rest| rest.split_once('=')) {
            Some((name, value)) if name.starts_with(|c: char| c.is_ascii_lowercase()) => {
                Self::Setting { name: name.trim_end(), value: value.trim() }
            }
            Some(_) | None => Self::Other,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The reference as a file in which every setting is set: to its default, or to its example.
    pub(in super::super) fn uncommented() -> String {
        let uncomment = |line: &'static str| match Line::of(line) {
            Line::Setting { name, value } => format!("{name} = {}", value.trim_start_matches(EXAMPLE)),
            Line::Section(_) | Line::Other => line.to_owned(),
        };
        TEXT.lines().map(uncomment).collect::<Vec<_>>().join("\n")
    }

    /// The prose right above each setting.
    fn prose() -> Vec<(&'static str, String)> {
        let mut prose = Vec::new();
        let mut above = String::new();
        for line in TEXT.lines() {
            match Line::of(line) {
                Line::Setting { name, .. } => prose.push((name, std::mem::take(&mut above))),
                Line::Section(_) => above.clear(),
                Line::Other if line.is_empty() => above.clear(),
                Line::Other => above.extend([line.trim_start_matches("# "), " "]),
            }
        }
        prose
    }

    #[test]
    fn every_setting_has_prose_of_its_own() {
        for (name, prose) in prose() {
            assert!(prose.trim().ends_with('.') && prose.len() > 5, "{name}: {prose:?}");
        }
    }

    #[test]
    fn the_prose_says_which_settings_have_no_effect_and_which_have_a_file() {
        for ((name, prose), setting) in prose().into_iter().zip(settings()) {
            let path = setting.path.as_str();
            assert!(path.ends_with(name));
            assert_eq!(prose.contains("No effect yet"), super::super::names::NO_EFFECT_YET.contains(&path), "{path}");
            let file = format!("`{name}_file` exists");
            assert_eq!(prose.contains(&file), super::super::names::HAVE_A_FILE.contains(&path), "{path}");
        }
    }

    #[test]
    fn the_file_as_it_stands_sets_nothing() {
        fn is_empty(table: &toml::Table) -> bool {
            table.values().all(|value| value.as_table().is_some_and(is_empty))
        }
        assert!(is_empty(&TEXT.parse().unwrap()));
    }

    #[test]
    fn every_line_is_prose_or_a_setting_and_fits_the_page() {
        for line in TEXT.lines() {
            let is_prose = line.is_empty() || line == "#" || line.starts_with("# ");
            assert!(is_prose || !matches!(Line::of(line), Line::Other), "{line}");
            assert!(line.chars().count() <= 120, "{line}");
        }
    }

    #[test]
    fn all_names_of_existing_deployments_are_known() {
        let storage = "DATABASE_URL DATABASE_POOL_MAX_SIZE DATABASE_POOL_CONNECTION_TIMEOUT \
            DATABASE_POOL_CONNECTION_LIFESPAN DATABASE_POOL_CONNECTION_MAX_IDLE ENABLED ENABLE_QUOTA ENFORCE_QUOTA \
            STATSD_LABEL LIMITS__MAX_POST_BYTES LIMITS__MAX_POST_RECORDS LIMITS__MAX_RECORD_PAYLOAD_BYTES \
            LIMITS__MAX_REQUEST_BYTES LIMITS__MAX_TOTAL_BYTES LIMITS__MAX_TOTAL_RECORDS LIMITS__MAX_QUOTA_LIMIT \
            LIMITS__COLLECTIONS LBHEARTBEAT_TTL LBHEARTBEAT_TTL_JITTER SPANNER_EMULATOR_HOST";
        let tokenserver = "DATABASE_URL DATABASE_POOL_MAX_SIZE DATABASE_POOL_CONNECTION_TIMEOUT ENABLED RUN_MIGRATIONS \
            NODE_TYPE INIT_NODE_URL INIT_NODE_CAPACITY NODE_CAPACITY_RELEASE_RATE TOKEN_DURATION ALLOW_NEW_USERS \
            STATSD_LABEL FXA_EMAIL_DOMAIN FXA_OAUTH_SERVER_URL FXA_OAUTH_REQUEST_TIMEOUT FXA_METRICS_HASH_SECRET \
            FXA_WEBHOOK_ENABLED FXA_WEBHOOK_METRICS_ONLY FXA_WEBHOOK_SET_CLIENT_ID FXA_WEBHOOK_SET_ISSUER \
            REGISTRATION ALLOW_LIST MAX_USERS";
        let other = "HOST PORT MASTER_SECRET HUMAN_LOGS ENVIRONMENT ACTIX_KEEP_ALIVE WORKER_MAX_BLOCKING_THREADS \
            STATSD_HOST STATSD_PORT INCLUDE_HOSTNAME_TAG CORS_ALLOWED_ORIGIN CORS_ALLOWED_METHODS CORS_MAX_AGE \
            PUBLIC_URL DATA_DIR PREVIOUS_MASTER_SECRETS METRICS_LISTEN METRICS_TOKEN PURGE_INTERVAL TRUSTED_PROXIES \
            LOG_LEVEL WORKERS BACKOFF TEST_ERROR TLS_CERTIFICATE TLS_KEY";
        let keys = "KTY ALG KID FXA_CREATED_AT USE N E".split(' ').flat_map(|part| {
            ["PRIMARY", "SECONDARY"].map(|key| format!("SYNC_TOKENSERVER__FXA_OAUTH_{key}_JWK__{part}"))
        });
        let mut names: Vec<String> = keys.chain(["SENTRY_DSN".to_owned()]).collect();
        names.extend(other.split_whitespace().map(|name| format!("SYNC_{name}")));
        names.extend(storage.split_whitespace().map(|name| format!("SYNC_SYNCSTORAGE__{name}")));
        names.extend(tokenserver.split_whitespace().map(|name| format!("SYNC_TOKENSERVER__{name}")));
        let mut known: Vec<&str> = settings().iter().map(|setting| setting.variable.as_str()).collect();
        names.sort();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
