//! Variables of the environment.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use syncstorage_db_common::CollectionName;

use super::super::{AllowedOrigin, Registration, Secret, SizeLimits, load};
use super::{folder_with, from_environment, from_file};

#[test]
fn the_environment_wins_over_the_file() {
    let text = "port = 8001\nhost = '0.0.0.0'\n[syncstorage.limits]\nmax_post_records = 7\nmax_total_records = 70\n";
    let variables = [("SYNC_PORT", "8002"), ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "9")];
    let settings = from_file(text, &variables).unwrap();
    assert_eq!((settings.host.as_str(), settings.port), ("0.0.0.0", 8002));
    assert_eq!(settings.public_url.to_string(), "http://127.0.0.1:8002");
    assert_eq!(settings.syncstorage.limits.max_post_records, 9);
    assert_eq!(settings.syncstorage.limits.max_total_records, 70);
}

#[test]
fn a_secret_is_taken_verbatim() {
    for secret in ["00123456789012345678", "1e9", "true", " spaces ", "[1]", "a,b", "\"quoted\"", "ünïcödé"] {
        let settings =
            from_environment(&[("SYNC_MASTER_SECRET", secret), ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", secret)]);
        let settings = settings.unwrap();
        assert_eq!(settings.master_secret.unwrap().expose(), secret);
        assert_eq!(settings.tokenserver.fxa_metrics_hash_secret.unwrap().expose(), secret);
    }
}

#[test]
fn a_variable_of_a_command_is_no_mistake() {
    let settings = from_environment(&[("SYNC_IMPORT_FROM", "mysql://x@y/z")]).unwrap();
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn an_empty_variable_is_not_set() {
    let empty = ["SYNC_MASTER_SECRET", "SYNC_PORT", "SYNC_TOKENSERVER__NO_SUCH", "SYNC_MASTER_SECRET_FILE"];
    let settings = from_environment(&empty.map(|name| (name, ""))).unwrap();
    assert_eq!((settings.port, settings.master_secret), (8000, None));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn lists_have_commas_or_are_json() {
    for list in ["a,b", " a , b ,", r#"["a", "b"]"#] {
        let settings = from_environment(&[("SYNC_TOKENSERVER__ALLOW_LIST", list)]).unwrap();
        let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(settings.tokenserver.registration, Registration::AllowList(expected), "{list}");
    }
    let secrets = from_environment(&[("SYNC_PREVIOUS_MASTER_SECRETS", r#"["007", " with, comma "]"#)]).unwrap();
    assert_eq!(secrets.previous_master_secrets, ["007", " with, comma "].map(Secret::new));
    let cors = from_environment(&[
        ("SYNC_CORS_ALLOWED_ORIGIN", "https://a.example,http://localhost:3000"),
        ("SYNC_CORS_ALLOWED_METHODS", r#"["GET"]"#),
    ]);
    let cors = cors.unwrap().cors;
    let origins = ["https://a.example", "http://localhost:3000"].map(ToOwned::to_owned).to_vec();
    assert_eq!(cors.allowed_origin, AllowedOrigin::Only(origins));
    assert_eq!(cors.allowed_methods, ["GET"]);
}

#[test]
fn limits_of_collections_are_json_and_replace_the_files() {
    let text = "[syncstorage.limits.collections]\nprefs = { max_post_bytes = 9 }";
    let json = r#"{"history": {"max_record_payload_bytes": 100, "max_post_bytes": 1000}, "x.y": {}}"#;
    let settings = from_file(text, &[("SYNC_SYNCSTORAGE__LIMITS__COLLECTIONS", json)]).unwrap();
    let limits = settings.syncstorage.limits;
    let own = SizeLimits { max_record_payload_bytes: 100, max_post_bytes: 1000, max_request_bytes: 2_625_536 };
    for (collection, sizes) in [("history", own), ("x.y", limits.sizes), ("prefs", limits.sizes)] {
        assert_eq!(limits.of(&CollectionName::new(collection).unwrap()), sizes, "{collection}");
    }
}

#[test]
fn values_may_be_in_files_and_lose_one_line_break() {
    let folder = folder_with(&[("a", "0123\n"), ("b", "two\r\n"), ("c", "three\n\n"), ("d", "one, 1\ntwo\n")]);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let settings = from_environment(&[
        ("SYNC_MASTER_SECRET_FILE", &path("a")),
        ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET_FILE", &path("b")),
        ("SYNC_SYNCSTORAGE__DATABASE_URL_FILE", &path("c")),
        ("SYNC_TOKENSERVER__DATABASE_URL_FILE", &path("a")),
        ("SYNC_PREVIOUS_MASTER_SECRETS_FILE", &path("d")),
    ]);
    let settings = settings.unwrap();
    assert_eq!(settings.master_secret, Some(Secret::new("0123")));
    assert_eq!(settings.tokenserver.fxa_metrics_hash_secret, Some(Secret::new("two")));
    assert_eq!(settings.syncstorage.database.url, Secret::new("three\n"));
    assert_eq!(settings.tokenserver.database.url, Secret::new("0123"));
    assert_eq!(settings.previous_master_secrets, ["one, 1", "two"].map(Secret::new));
    assert_ne!(settings.syncstorage.database.url, settings.tokenserver.database.url);
}

#[test]
fn a_variable_with_a_file_wins_over_a_value_in_the_settings_file() {
    let folder = folder_with(&[("secret", "from the file\n")]);
    let path = folder.path().join("secret");
    let settings =
        from_file("master_secret = 'inline'", &[("SYNC_MASTER_SECRET_FILE", path.to_str().unwrap())]).unwrap();
    assert_eq!(settings.master_secret, Some(Secret::new("from the file")));
}

#[test]
fn the_public_url_of_a_server_with_a_certificate_is_https() {
    let tls = [("SYNC_TLS_CERTIFICATE", "cert.pem"), ("SYNC_TLS_KEY", "key.pem"), ("SYNC_PORT", "443")];
    let settings = from_environment(&tls).unwrap();
    assert_eq!((settings.public_url.to_string().as_str(), settings.public_url.explicit), ("https://127.0.0.1", false));
    let url = ("SYNC_PUBLIC_URL", "http://sync.example.com");
    let settings = from_environment(&[&tls[..], &[url]].concat()).unwrap();
    assert_eq!(settings.public_url.to_string(), "http://sync.example.com", "a proxy may take the TLS off");
}

#[test]
fn the_public_url_is_explicit_only_when_it_is_set_itself() {
    let node = ("SYNC_TOKENSERVER__INIT_NODE_URL", "https://node.example:8443/sync/");
    let settings = from_environment(&[node]).unwrap();
    assert_eq!(settings.public_url.to_string(), "https://node.example:8443/sync");
    assert!(!settings.public_url.explicit);
    assert_eq!(settings.tokenserver.init_node_url.as_deref(), Some("https://node.example:8443/sync"));
    let settings = from_environment(&[node, ("SYNC_PUBLIC_URL", "https://sync.example.com/")]).unwrap();
    assert_eq!(settings.public_url.to_string(), "https://sync.example.com");
    assert_eq!((settings.public_url.host.as_str(), settings.public_url.port), ("sync.example.com", 443));
    assert!(settings.public_url.explicit);
}

#[test]
fn the_accounts_server_is_taken_with_and_without_v1() {
    for url in ["https://fxa.example", "https://fxa.example/", "https://fxa.example/v1", "https://fxa.example/v1/"] {
        let settings = from_environment(&[("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", url)]).unwrap();
        assert_eq!(settings.tokenserver.fxa_oauth_server_url.to_string(), "https://fxa.example", "{url}");
    }
}

#[test]
fn registration_has_an_older_name() {
    let registration = |variables: &[(&str, &str)]| from_environment(variables).unwrap().tokenserver.registration;
    let (new, old) = ("SYNC_TOKENSERVER__REGISTRATION", "SYNC_TOKENSERVER__ALLOW_NEW_USERS");
    for (variables, expected) in [
        (&[(old, "true")][..], Registration::Open),
        (&[(old, "false")], Registration::Closed),
        (&[(new, "closed")], Registration::Closed),
        (&[(new, "closed"), (old, "false")], Registration::Closed),
        (&[(new, "open"), (old, "true")], Registration::Open),
        (&[(new, "allow_list")], Registration::AllowList(BTreeSet::new())),
        (&[(new, "allow_list"), (old, "true")], Registration::AllowList(BTreeSet::new())),
    ] {
        assert_eq!(registration(variables), expected, "{variables:?}");
    }
    let list = ("SYNC_TOKENSERVER__ALLOW_LIST", "abc@api.accounts.firefox.com");
    let expected = Registration::AllowList(BTreeSet::from(["abc".to_owned()]));
    for given in [&[list][..], &[(new, "allow_list"), list], &[(old, "true"), list]] {
        assert_eq!(registration(given), expected, "{given:?}");
    }
}

#[test]
fn an_id_on_the_allow_list_is_as_tokens_have_it() {
    let (upper, lower) = ("A11CE000000000000000000000000001", "a11ce000000000000000000000000001");
    let list = format!("{upper},Not-Mozillas");
    let settings = from_environment(&[("SYNC_TOKENSERVER__ALLOW_LIST", &list)]).unwrap();
    let expected = BTreeSet::from([lower.to_owned(), "Not-Mozillas".to_owned()]);
    assert_eq!(settings.tokenserver.registration, Registration::AllowList(expected));
}

#[test]
fn a_public_key_is_given_in_parts() {
    let name = |part: &str| format!("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__{part}");
    let parts = [("KID", "k"), ("N", "AQAB"), ("E", "AQAB"), ("FXA_CREATED_AT", "1564502400")];
    let settings = load(None, parts.map(|(part, value)| (name(part), value.to_owned()))).unwrap();
    let expected = serde_json::json!([{
        "kty": "RSA", "alg": "RS256", "kid": "k", "fxa-createdAt": 1_564_502_400, "use": "sig", "n": "AQAB", "e": "AQAB"
    }]);
    assert_eq!(serde_json::to_value(settings.tokenserver.fxa_oauth_jwks).unwrap(), expected);
}

#[test]
fn numbers_and_flags_are_read_by_the_type_that_they_should_have() {
    let settings = from_environment(&[
        ("SYNC_HUMAN_LOGS", "True"),
        ("SYNC_TOKENSERVER__RUN_MIGRATIONS", "off"),
        ("SYNC_ACTIX_KEEP_ALIVE", "0"),
        ("SYNC_PURGE_INTERVAL", "0"),
        ("SYNC_WORKERS", " 007 "),
        ("SYNC_TOKENSERVER__NODE_CAPACITY_RELEASE_RATE", "1"),
        ("SYNC_LOG_LEVEL", "WARNING"),
        ("SYNC_HOST", "[::1]"),
    ]);
    let settings = settings.unwrap();
    assert!(settings.human_logs && !settings.tokenserver.run_migrations);
    assert_eq!((settings.actix_keep_alive, settings.purge_interval), (Duration::ZERO, None));
    assert_eq!((settings.workers, settings.log_level), (7, slog::Level::Warning));
    assert_eq!((settings.host.as_str(), settings.public_url.host.as_str()), ("::1", "[::1]"));
}

#[test]
fn metrics_are_told_where_they_are_wanted() {
    for (given, listen) in
        [("off", None), (" OFF", None), ("[::1]:9100", Some("[::1]:9100")), ("0.0.0.0:0", Some("0.0.0.0:0"))]
    {
        let metrics = from_environment(&[("SYNC_METRICS_LISTEN", given)]).unwrap().metrics;
        assert_eq!(metrics.listen, listen.map(|address| address.parse().unwrap()), "{given}");
        assert!(metrics.is_explicit);
    }
    assert_eq!(from_file("metrics_listen = ''", &[]).unwrap().metrics.listen, None);
    let statsd = [("SYNC_STATSD_HOST", "statsd.example.com"), ("SYNC_TOKENSERVER__STATSD_LABEL", "tokens")];
    let statsd = from_environment(&statsd).unwrap().metrics.statsd.unwrap();
    assert_eq!((statsd.host.as_str(), statsd.tokenserver_label.as_str()), ("statsd.example.com", "tokens"));
}

#[test]
fn what_does_nothing_is_warned_about() {
    let settings = from_file(
        "[tokenserver]\nspanner_node_id = 1",
        &[
            ("SYNC_SYNCSTORAGE__SPANNER_EMULATOR_HOST", "localhost:9010"),
            ("SYNC_SYNCSTORAGE__GLEAN_ENABLED", "false"),
            ("SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT", "1"),
            ("SYNC_MASTER_SECRET", "short"),
            ("SYNC_GATEWAY", "elsewhere"),
            ("OTHER", "program"),
        ],
    );
    let warnings = [
        "these settings mean nothing in this server and are ignored: tokenserver.spanner_node_id in my.toml, \
         SYNC_SYNCSTORAGE__GLEAN_ENABLED",
        "the environment variable SYNC_GATEWAY is no setting of this server and is ignored",
        "these settings have no effect yet: SYNC_SYNCSTORAGE__SPANNER_EMULATOR_HOST",
        "SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT does nothing, since neither syncstorage.enable_quota \
         (SYNC_SYNCSTORAGE__ENABLE_QUOTA) nor syncstorage.enforce_quota (SYNC_SYNCSTORAGE__ENFORCE_QUOTA) is true",
        "SYNC_MASTER_SECRET is shorter than 16 characters, so that somebody who has a token may find it by trying",
    ];
    assert_eq!(settings.unwrap().warnings, warnings);
}

#[cfg(unix)]
#[test]
fn other_programs_variables_may_be_any_bytes() {
    use std::os::unix::ffi::OsStringExt;

    let bytes = || OsString::from_vec(vec![0xff, 0xfe]);
    assert!(load(None, [(bytes(), bytes()), ("HOME".into(), bytes()), ("SYNC_ELSEWHERE".into(), bytes())]).is_ok());
    let error = load(None, [("SYNC_MASTER_SECRET", bytes())]).unwrap_err();
    assert_eq!(error.to_string(), "SYNC_MASTER_SECRET must be text in UTF-8, found other bytes");
}
