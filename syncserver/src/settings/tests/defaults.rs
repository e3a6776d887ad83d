//! What holds when nothing is set.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use super::super::reference::tests::uncommented;
use super::super::{
    AllowedOrigin, Cors, Limits, MetricsSettings, Registration, Secret, Settings, SizeLimits, reference,
};
use super::{from_environment, from_file};

fn defaults() -> Settings {
    from_environment(&[]).unwrap()
}

#[test]
fn the_server_has_its_defaults() {
    let settings = defaults();
    assert_eq!((settings.host.as_str(), settings.port), ("127.0.0.1", 8000));
    assert_eq!(settings.public_url.to_string(), "http://127.0.0.1:8000");
    assert!(!settings.public_url.explicit);
    assert_eq!(settings.data_dir, Path::new("./data"));
    assert_eq!(settings.master_secret, None);
    assert_eq!(settings.previous_master_secrets, []);
    assert_eq!(settings.human_logs, std::io::stderr().is_terminal());
    assert_eq!(settings.log_level, slog::Level::Info);
    assert_eq!(settings.environment, "production");
    assert_eq!(settings.actix_keep_alive, Duration::from_secs(75));
    assert_eq!(settings.workers, available_parallelism().unwrap().get());
    assert_eq!(settings.worker_max_blocking_threads, 512);
    let metrics = MetricsSettings {
        listen: Some("127.0.0.1:9091".parse().unwrap()),
        is_explicit: false,
        token: None,
        statsd: None,
    };
    assert_eq!(settings.metrics, metrics);
    assert_eq!((settings.sentry_dsn, settings.test_error), (None, false));
    assert_eq!((settings.backoff, settings.purge_interval), (None, Some(Duration::from_secs(3600))));
    for (address, trusted) in [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("10.0.0.1", false)] {
        assert_eq!(settings.trusted_proxies.contains(address.parse().unwrap()), trusted, "{address}");
    }
    let methods = ["DELETE", "GET", "POST", "PUT"].map(ToOwned::to_owned).to_vec();
    let cors = Cors { allowed_origin: AllowedOrigin::Any, allowed_methods: methods, max_age: 1_728_000 };
    assert_eq!(settings.cors, cors);
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn the_storage_has_its_defaults() {
    let storage = defaults().syncstorage;
    assert!(storage.enabled);
    assert_eq!(storage.database.url, Secret::new("./data/sync.db"));
    assert_eq!(storage.database.pool_max_size, 10);
    assert_eq!(storage.database.connection_timeout, Duration::from_secs(10));
    assert_eq!(storage.database.connection_lifespan, None);
    assert_eq!(storage.database.connection_max_idle, None);
    let limits = Limits {
        max_post_records: 100,
        max_total_bytes: 262_144_000,
        max_total_records: 10_000,
        sizes: SizeLimits {
            max_record_payload_bytes: 2_621_440,
            max_post_bytes: 2_621_440,
            max_request_bytes: 2_625_536,
        },
        collections: BTreeMap::new(),
    };
    assert_eq!(storage.limits, limits);
    assert_eq!(storage.quota, None);
    assert_eq!((storage.lbheartbeat_ttl, storage.lbheartbeat_ttl_jitter), (None, 25));
    let quota = from_environment(&[("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "1")]).unwrap().syncstorage.quota.unwrap();
    assert_eq!((quota.limit, quota.enforce), (2_097_152_000, true));
    let quota = from_environment(&[("SYNC_SYNCSTORAGE__ENABLE_QUOTA", "1")]).unwrap().syncstorage.quota.unwrap();
    assert_eq!((quota.limit, quota.enforce), (2_097_152_000, false));
}

#[test]
fn the_tokenserver_has_its_defaults() {
    let settings = defaults();
    assert_eq!(settings.syncstorage.database.url, settings.tokenserver.database.url);
    let tokens = settings.tokenserver;
    assert!(tokens.enabled && tokens.run_migrations);
    assert_eq!(tokens.database.pool_max_size, 10);
    assert_eq!(tokens.database.connection_timeout, Duration::from_secs(10));
    assert_eq!((tokens.node_type, tokens.init_node_url), (None, None));
    assert_eq!(tokens.init_node_capacity, 100_000);
    assert!((tokens.node_capacity_release_rate - 0.1).abs() < f64::EPSILON);
    assert_eq!(tokens.token_duration, Duration::from_secs(3600));
    assert_eq!((tokens.registration, tokens.max_users), (Registration::Open, None));
    assert_eq!(tokens.fxa_email_domain, "api.accounts.firefox.com");
    assert_eq!(tokens.fxa_oauth_server_url.to_string(), "https://oauth.accounts.firefox.com");
    assert_eq!(tokens.fxa_oauth_request_timeout, Duration::from_secs(10));
    assert_eq!((tokens.fxa_metrics_hash_secret, tokens.fxa_oauth_jwks), (None, vec![]));
    assert_eq!(tokens.fxa_webhook, None);
    let webhook =
        [("SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED", "1"), ("SYNC_TOKENSERVER__FXA_WEBHOOK_SET_CLIENT_ID", "c")];
    let webhook = from_environment(&webhook).unwrap().tokenserver.fxa_webhook.unwrap();
    assert!(!webhook.metrics_only);
    assert_eq!(webhook.set_issuer, "https://accounts.firefox.com/");
}

#[test]
fn the_data_folder_is_the_first_one_known() {
    let all = [("STATE_DIRECTORY", "/state:/other"), ("XDG_DATA_HOME", "/xdg"), ("HOME", "/home/me")];
    for (skip, folder) in
        [(0, "/state"), (1, "/xdg/syncserver"), (2, "/home/me/.local/share/syncserver"), (3, "./data")]
    {
        let settings = from_environment(&all[skip..]).unwrap();
        assert_eq!(settings.data_dir, Path::new(folder));
        assert_eq!(settings.syncstorage.database.url, Secret::new(format!("{folder}/sync.db")));
    }
    // An empty variable is not set, and a relative one is none by the specification.
    let settings = from_environment(&[("STATE_DIRECTORY", ""), ("XDG_DATA_HOME", "xdg"), ("HOME", "/me")]).unwrap();
    assert_eq!(settings.data_dir, Path::new("/me/.local/share/syncserver"));
    let settings = from_environment(&[("SYNC_DATA_DIR", "/data"), ("STATE_DIRECTORY", "/state")]).unwrap();
    assert_eq!(settings.data_dir, Path::new("/data"));
}

#[test]
fn the_reference_can_be_given_as_it_stands() {
    let settings = from_file(reference(), &[]).unwrap();
    assert_eq!(format!("{settings:?}"), format!("{:?}", defaults()));
}

/// Examples are real values, and defaults that are written out are the defaults.
#[test]
fn the_reference_can_be_given_with_everything_uncommented() {
    let mut settings = from_file(&uncommented(), &[]).unwrap();
    let mut defaults = defaults();
    assert_eq!(settings.public_url.to_string(), "https://sync.example.com");
    assert_eq!(settings.data_dir, Path::new("/var/lib/syncserver"));
    assert_eq!(settings.tls.as_ref().map(|tls| tls.key.as_path()), Some(Path::new("/etc/syncserver/privkey.pem")));
    assert_eq!(settings.workers, 4);
    assert!(settings.human_logs && settings.master_secret.is_some());
    assert_eq!(settings.syncstorage.limits.collections.len(), 1);
    assert_eq!(settings.tokenserver.fxa_oauth_jwks.len(), 2);
    assert_eq!(settings.tokenserver.max_users, Some(20));
    assert!(settings.metrics.token.is_some() && settings.sentry_dsn.is_some());
    let statsd = settings.metrics.statsd.clone().unwrap();
    assert_eq!((statsd.host.as_str(), statsd.port, statsd.hostname_tag), ("127.0.0.1", 8125, false));
    let labels = (statsd.storage_label.as_str(), statsd.tokenserver_label.as_str());
    assert_eq!(labels, ("syncstorage", "syncstorage.tokenserver"));

    // Without what only has an example, the rest is as if nothing was set.
    for settings in [&mut settings, &mut defaults] {
        settings.public_url.explicit = false;
        settings.public_url.url = "http://host".parse().unwrap();
        settings.tls = None;
        settings.data_dir.clear();
        (settings.master_secret, settings.human_logs, settings.workers) = (None, false, 1);
        settings.warnings.clear();
        (settings.metrics.is_explicit, settings.metrics.token, settings.metrics.statsd) = (false, None, None);
        settings.sentry_dsn = None;
        let storage = &mut settings.syncstorage;
        storage.database.url = Secret::new("");
        (storage.database.connection_lifespan, storage.database.connection_max_idle) = (None, None);
        storage.limits.collections.clear();
        storage.lbheartbeat_ttl = None;
        let tokens = &mut settings.tokenserver;
        tokens.database = storage.database.clone();
        (tokens.max_users, tokens.node_type, tokens.init_node_url) = (None, None, None);
        tokens.fxa_metrics_hash_secret = None;
        tokens.fxa_oauth_jwks.clear();
    }
    assert_eq!(format!("{settings:?}"), format!("{defaults:?}"));
}
