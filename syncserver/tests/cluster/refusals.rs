//! Databases on servers that a server of ours cannot be started with: one line says why, and the status is 1.

use testdb::Database;

use crate::program::Folder;

const URL: &str = "SYNC_SYNCSTORAGE__DATABASE_URL";

/// The parts of a URL that are changed: up to the password, from the host to the port, the database.
fn parts(database: &Database) -> (&str, &str, &str) {
    let (authority, name) = database.url().rsplit_once('/').unwrap();
    let (scheme, rest) = authority.split_once("://").unwrap();
    (scheme, rest.rsplit_once('@').unwrap().1, name)
}

fn each(check: impl Fn(&Folder, &Database)) {
    for database in [testdb::postgres(), testdb::mysql()] {
        check(&Folder::new(), &database);
    }
}

#[test]
fn a_wrong_password_is_told() {
    each(|folder, database| {
        let (scheme, host, name) = parts(database);
        let refusal = folder.refusal(&[(URL, &format!("{scheme}://tester:hush-hush@{host}/{name}"))]);
        refusal.names(&["refuses the user", "tester", "database_url"]);
        assert!(!refusal.why.contains("hush-hush"), "{refusal:?}");
    });
}

#[test]
fn a_missing_database_is_told_with_the_statement_that_makes_it() {
    each(|folder, database| {
        let (before, _) = database.url().rsplit_once('/').unwrap();
        let refusal = folder.refusal(&[(URL, &format!("{before}/not_there"))]);
        refusal.names(&["there is no database \"not_there\"", "CREATE DATABASE"]);
    });
}

#[test]
fn a_host_that_cannot_be_reached_is_told() {
    each(|folder, database| {
        let (scheme, _, name) = parts(database);
        for host in ["127.0.0.1:9", "no-such-host.invalid"] {
            let refusal = folder.refusal(&[(URL, &format!("{scheme}://tester@{host}/{name}"))]);
            refusal.names(&["cannot reach the database", host, "database_url"]);
        }
    });
}

#[test]
fn a_schema_of_a_newer_version_is_told() {
    each(|folder, database| {
        folder.start_with(&[(URL, database.url())]).stop();
        database.execute("INSERT INTO syncserver_schema (version) VALUES ('storage-0999')");
        let refusal = folder.refusal(&[(URL, database.url())]);
        refusal.names(&["storage-0999", "newer version"]);
    });
}

#[test]
fn a_server_without_a_master_secret_is_not_started_on_a_database_server() {
    each(|folder, database| {
        let refusal = folder.refusal(&[(URL, database.url()), ("SYNC_MASTER_SECRET", "")]);
        refusal.names(&["master_secret is not set", "SYNC_MASTER_SECRET"]);
        assert!(!folder.secret_file().exists());
    });
}

#[test]
fn another_master_secret_than_the_databases_is_told() {
    each(|folder, database| {
        folder.start_with(&[(URL, database.url())]).stop();
        let refusal = folder.refusal(&[(URL, database.url()), ("SYNC_MASTER_SECRET", "another one entirely")]);
        refusal.names(&["belongs to another master secret", "previous_master_secrets"]);
        let rotation = [
            (URL, database.url()),
            ("SYNC_MASTER_SECRET", "another one entirely"),
            ("SYNC_PREVIOUS_MASTER_SECRETS", crate::program::SECRET),
        ];
        folder.start_with(&rotation).stop();
    });
}

#[test]
fn a_url_that_cannot_be_read_is_told_without_its_password() {
    let folder = Folder::new();
    for (url, told) in [
        ("postgres://u:hush-hush@host", "found no database"),
        ("mysql://u:hush-hush@host/db?tls=please", "\"tls\""),
        ("postgres://u:hush-hush@host/db?sslmode=perhaps", "sslmode=perhaps"),
        ("mongodb://u:hush-hush@host/db", "postgres:// or mysql://"),
    ] {
        let refusal = folder.refusal(&[(URL, url)]);
        refusal.names(&[told, "syncstorage.database_url"]);
        assert!(!refusal.why.contains("hush-hush"), "{refusal:?}");
    }
}

#[test]
fn storage_and_tokenserver_may_be_on_different_engines() {
    let (folder, postgres, mysql) = (Folder::new(), testdb::postgres(), testdb::mysql());
    let environment = [(URL, postgres.url()), ("SYNC_TOKENSERVER__DATABASE_URL", mysql.url())];
    folder.start_with(&environment).stop();
    let tables = |database: &Database, table: &str| {
        let query = format!("SELECT count(*) FROM information_schema.tables WHERE table_name = '{table}'");
        let own = format!("{query} AND table_schema IN ('public', '{}')", parts(database).2);
        database.query(&own)[0][0].clone().unwrap()
    };
    assert_eq!((tables(&postgres, "bsos"), tables(&postgres, "users")), ("1".into(), "0".into()));
    assert_eq!((tables(&mysql, "bso"), tables(&mysql, "users")), ("0".into(), "1".into()));
    // One on a server, and one in a file: the file's server makes no secret, since one is set.
    let environment = [("SYNC_TOKENSERVER__DATABASE_URL", mysql.url())];
    folder.start_with(&environment).stop();
}
