//! Every way to refuse settings, with its sentence.

use super::{folder_with, from_environment, from_file};

/// What loading the text of a file says.
fn said(text: &str) -> String {
    from_file(text, &[]).unwrap_err().to_string()
}

/// What loading variables says.
fn said_of(variables: &[(&str, &str)]) -> String {
    from_environment(variables).unwrap_err().to_string()
}

#[test]
fn unknown_names() {
    for (text, sentence) in [
        ("prot = 1", "there is no setting prot in my.toml; did you mean port?"),
        ("database_url = ''", "there is no setting database_url in my.toml; did you mean syncstorage.database_url?"),
        ("[syncstorge]\nport = 1", "there is no setting syncstorge in my.toml; did you mean syncstorage?"),
        (
            "[syncstorage.limits]\nmax_post_record = 1",
            "there is no setting syncstorage.limits.max_post_record in my.toml; \
             did you mean syncstorage.limits.max_post_records?",
        ),
        ("syncstorage = 1", "syncstorage in my.toml must be a section, [syncstorage], found a value of type integer"),
    ] {
        assert_eq!(said(text), sentence);
    }
    for (variable, sentence) in [
        ("SYNC_PROT", "there is no setting SYNC_PROT; did you mean SYNC_PORT?"),
        (
            "SYNC_TOKENSERVER__ENABLE",
            "there is no setting SYNC_TOKENSERVER__ENABLE; did you mean SYNC_TOKENSERVER__ENABLED?",
        ),
        ("SYNC_A__B", "there is no setting SYNC_A__B; did you mean SYNC_HOST?"),
    ] {
        assert_eq!(said_of(&[(variable, "1")]), sentence);
    }
}

#[test]
fn values_of_the_wrong_kind() {
    for (text, sentence) in [
        ("port = 65536", "port in my.toml must be a whole number from 0 to 65535, found 65536"),
        ("port = -1", "port in my.toml must be a whole number from 0 to 65535, found -1"),
        ("port = 80.5", "port in my.toml must be a whole number from 0 to 65535, found 80.5"),
        ("port = true", "port in my.toml must be a whole number from 0 to 65535, found true"),
        ("port = [1]", "port in my.toml must be a whole number from 0 to 65535, found a list"),
        ("[port]", "port in my.toml must be a value, found a section"),
        ("master_secret = 123", "master_secret in my.toml must be text in quotes, found a value that is not in quotes"),
        ("master_secret = ''", "master_secret in my.toml must be text, not empty, found empty text"),
        (
            "master_secret_file = 1",
            "master_secret_file in my.toml must be the path of a file, in quotes, found a value of type integer",
        ),
        ("data_dir = \"a\\u0000\"", "data_dir in my.toml must be a path, found \"a\\0\""),
        (
            "trusted_proxies = [1]",
            "trusted_proxies in my.toml must be a list of texts, none of them empty, found a list",
        ),
    ] {
        assert_eq!(said(text), sentence);
    }
    for (variable, value, sentence) in [
        ("SYNC_PORT", "http", "must be a whole number from 0 to 65535, found \"http\""),
        ("SYNC_PORT", "+80", "must be a whole number from 0 to 65535, found \"+80\""),
        ("SYNC_HUMAN_LOGS", "maybe", "must be true or false, found \"maybe\""),
        ("SYNC_HOST", "localhost:80", "must be an address or a host name, without a port, found \"localhost:80\""),
        (
            "SYNC_LOG_LEVEL",
            "loud",
            "must be one of \"critical\", \"error\", \"warning\", \"info\", \"debug\" and \"trace\", found \"loud\"",
        ),
        (
            "SYNC_TOKENSERVER__TOKEN_DURATION",
            "1h",
            "must be a time in whole seconds from 1 to 3153600000, found \"1h\"",
        ),
        ("SYNC_TOKENSERVER__NODE_CAPACITY_RELEASE_RATE", "NaN", "must be a number above 0 and up to 1, found \"NaN\""),
        ("SYNC_TOKENSERVER__REGISTRATION", "no", "must be \"open\", \"closed\" or \"allow_list\", found \"no\""),
        (
            "SYNC_TOKENSERVER__ALLOW_LIST",
            "abc,me@example.com",
            "must be a list of account ids, not e-mail addresses, found \"me@example.com\"",
        ),
        (
            "SYNC_TRUSTED_PROXIES",
            "proxy",
            "must be a list of addresses or networks such as 10.0.0.0/8, found \"proxy\"",
        ),
        (
            "SYNC_CORS_ALLOWED_ORIGIN",
            "*,https://a",
            "must be \"*\" or a list of origins such as https://example.com, found \"*\"",
        ),
        ("SYNC_CORS_ALLOWED_ORIGIN", ",", "must be \"*\" or a list of origins, found an empty list"),
        ("SYNC_CORS_ALLOWED_METHODS", "get", "must be a list of HTTP methods in capitals, found \"get\""),
        (
            "SYNC_METRICS_LISTEN",
            "9091",
            "must be an address and a port, such as \"127.0.0.1:9091\", or \"off\", found \"9091\"",
        ),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__KTY", "EC", "must be \"RSA\", found \"EC\""),
    ] {
        assert_eq!(said_of(&[(variable, value)]), format!("{variable} {sentence}"));
    }
    let long = "x".repeat(1000);
    let sentence = format!("SYNC_PORT must be a whole number from 0 to 65535, found \"{}\" and so on", &long[..80]);
    assert_eq!(said_of(&[("SYNC_PORT", &long)]), sentence);
}

#[test]
fn urls() {
    const PUBLIC_URL: &str = "SYNC_PUBLIC_URL";
    for (variable, value, sentence) in [
        (PUBLIC_URL, "sync.example.com", "must begin with http:// or https://"),
        (PUBLIC_URL, "https://a/?b", "must not have a query (?…) or a fragment (#…)"),
        (PUBLIC_URL, "https://a#b", "must not have a query (?…) or a fragment (#…)"),
        (PUBLIC_URL, "https://me:secret@a", "must not hold a user name or password"),
        (PUBLIC_URL, "https://", "must name a host: a name in ASCII, an IPv4 address, or an IPv6 address in brackets"),
        (PUBLIC_URL, "https://a:0", "must have a port from 1 to 65535, or none"),
        (PUBLIC_URL, "https://a//b", "must have a path of letters, digits and `-._~` between single slashes, or none"),
        (
            PUBLIC_URL,
            "https://a/1.0/sync/1.5",
            "must not hold the path that the server adds itself: leave out /1.0/sync/1.5",
        ),
        ("SYNC_TOKENSERVER__INIT_NODE_URL", "node", "must begin with http:// or https://"),
        (
            "SYNC_TOKENSERVER__INIT_NODE_URL",
            &format!("https://{}.example", "n".repeat(60)),
            "must be at most 64 characters long, found 76",
        ),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "ftp://a", "must begin with http:// or https://"),
    ] {
        assert_eq!(said_of(&[(variable, value)]), format!("{variable} {sentence}"));
    }
}

#[test]
fn limits_that_contradict_each_other() {
    for (text, sentence) in [
        (
            "max_record_payload_bytes = 2700000",
            "syncstorage.limits.max_record_payload_bytes in my.toml is 2700000, more than \
             syncstorage.limits.max_post_bytes (SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES), which is 2621440; \
             lower the first or raise the second",
        ),
        (
            "max_post_bytes = 10\nmax_record_payload_bytes = 5\nmax_request_bytes = 9",
            "syncstorage.limits.max_post_bytes in my.toml is 10, more than syncstorage.limits.max_request_bytes in \
             my.toml, which is 9; lower the first or raise the second",
        ),
        (
            "max_total_bytes = 100",
            "syncstorage.limits.max_post_bytes (SYNC_SYNCSTORAGE__LIMITS__MAX_POST_BYTES) is 2621440, more than \
             syncstorage.limits.max_total_bytes in my.toml, which is 100; lower the first or raise the second",
        ),
        (
            "max_total_records = 10",
            "syncstorage.limits.max_post_records (SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS) is 100, more than \
             syncstorage.limits.max_total_records in my.toml, which is 10; lower the first or raise the second",
        ),
        (
            "collections.history.max_post_bytes = 100",
            "syncstorage.limits.collections in my.toml leaves the collection history with max_record_payload_bytes \
             2621440, more than max_post_bytes, which is 100; give it values of its own for both that go together",
        ),
        (
            "collections.history.max_posts = 100",
            "syncstorage.limits.collections in my.toml must be objects with max_record_payload_bytes, max_post_bytes \
             and max_request_bytes, any of them, found for history: unknown field `max_posts`, expected one of \
             `max_record_payload_bytes`, `max_post_bytes`, `max_request_bytes`",
        ),
        (
            "collections.history.max_post_bytes = 0",
            "syncstorage.limits.collections in my.toml must be numbers from 1 to 9007199254740991, found for history: 0",
        ),
        (
            "collections.'no name' = {}",
            "syncstorage.limits.collections in my.toml must be limits by collection, found the name \"no name\"",
        ),
        ("collections = []", "syncstorage.limits.collections in my.toml must be a table, or JSON, found a list"),
        (
            "collections = '[]'",
            "syncstorage.limits.collections in my.toml must be an object with collections for names, found another value",
        ),
        (
            "collections = '{'",
            "syncstorage.limits.collections in my.toml must be JSON, found EOF while parsing an object at line 1 column 1",
        ),
    ] {
        assert_eq!(said(&format!("[syncstorage.limits]\n{text}")), sentence);
    }
}

#[test]
fn other_settings_that_contradict_each_other() {
    let (new, old) = ("SYNC_TOKENSERVER__REGISTRATION", "SYNC_TOKENSERVER__ALLOW_NEW_USERS");
    let list = ("SYNC_TOKENSERVER__ALLOW_LIST", "a");
    for (variables, sentence) in [
        (
            &[("SYNC_SYNCSTORAGE__ENABLED", "false"), ("SYNC_TOKENSERVER__ENABLED", "false")][..],
            "SYNC_SYNCSTORAGE__ENABLED and SYNC_TOKENSERVER__ENABLED are both false, so that there is nothing to serve; \
             set one of them to true",
        ),
        (
            &[("SYNC_PORT", "9091"), ("SYNC_HOST", "0.0.0.0"), ("SYNC_METRICS_LISTEN", "127.0.0.1:9091")],
            "SYNC_METRICS_LISTEN has the port 9091, which is the server's own (SYNC_PORT); give metrics another one",
        ),
        (
            &[(new, "open"), (old, "false")],
            "SYNC_TOKENSERVER__REGISTRATION and SYNC_TOKENSERVER__ALLOW_NEW_USERS contradict each other; \
             remove the second",
        ),
        (
            &[(new, "closed"), (old, "true")],
            "SYNC_TOKENSERVER__REGISTRATION and SYNC_TOKENSERVER__ALLOW_NEW_USERS contradict each other; \
             remove the second",
        ),
        (
            &[(new, "closed"), list],
            "SYNC_TOKENSERVER__ALLOW_LIST names who may sign in for the first time, but SYNC_TOKENSERVER__REGISTRATION \
             says that nobody may; remove one of them",
        ),
        (
            &[(new, "allow_list"), (old, "false")],
            "SYNC_TOKENSERVER__REGISTRATION and SYNC_TOKENSERVER__ALLOW_NEW_USERS contradict each other; \
             remove the second",
        ),
        (
            &[(new, "open"), list],
            "SYNC_TOKENSERVER__ALLOW_LIST names who may sign in for the first time, but SYNC_TOKENSERVER__REGISTRATION \
             says that everybody may; remove one of them, or set the second to \"allow_list\"",
        ),
        (
            &[(old, "false"), list],
            "SYNC_TOKENSERVER__ALLOW_LIST names who may sign in for the first time, but \
             SYNC_TOKENSERVER__ALLOW_NEW_USERS says that nobody may; remove one of them",
        ),
        (
            &[("SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED", "true")],
            "tokenserver.fxa_webhook_set_client_id (SYNC_TOKENSERVER__FXA_WEBHOOK_SET_CLIENT_ID) must be set, since \
             SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED is",
        ),
        (
            &[("SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__N", "AQAB")],
            "tokenserver.fxa_oauth_secondary_jwk.kid (SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__KID) must be set, since \
             SYNC_TOKENSERVER__FXA_OAUTH_SECONDARY_JWK__N is",
        ),
    ] {
        assert_eq!(said_of(variables), sentence);
    }
    // Two addresses do not get into each other's way.
    let apart = [("SYNC_PORT", "9091"), ("SYNC_METRICS_LISTEN", "127.0.0.2:9091")];
    assert!(from_environment(&apart).is_ok());
}

#[test]
fn files_with_values() {
    let folder = folder_with(&[("secret", "s3cr3t"), ("empty", "\n")]);
    let path = folder.path().join("secret");
    let path = path.to_str().unwrap();
    assert_eq!(
        said_of(&[("SYNC_MASTER_SECRET", "a"), ("SYNC_MASTER_SECRET_FILE", path)]),
        "SYNC_MASTER_SECRET and SYNC_MASTER_SECRET_FILE are both set; remove one of them"
    );
    assert_eq!(
        said(&format!("master_secret_file = '{path}'\nmaster_secret = 'a'")),
        "master_secret in my.toml and master_secret_file in my.toml are both set; remove one of them"
    );
    assert_eq!(
        said_of(&[("SYNC_MASTER_SECRET_FILE", "/no/such/file")]),
        "SYNC_MASTER_SECRET_FILE names the file /no/such/file, which cannot be used: there is no such file"
    );
    let empty = folder.path().join("empty");
    assert_eq!(
        said_of(&[("SYNC_MASTER_SECRET_FILE", empty.to_str().unwrap())]),
        "SYNC_MASTER_SECRET_FILE must be text, not empty, found empty text"
    );
}
