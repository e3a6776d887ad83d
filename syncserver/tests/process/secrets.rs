//! The master secret: lost, wrong, changed, and kept in files.

use std::fs;

use testclient::{Key, MockFxa, Request, open_token_id};

use crate::program::{Folder, SECRET, text};

const NONE: (&str, &str) = ("SYNC_MASTER_SECRET", "");
const NEW: &str = "a newer master secret for tests";

#[tokio::test]
async fn without_its_secret_the_server_refuses_and_says_which_file_is_missing() {
    let folder = Folder::new();
    folder.start_with(&[NONE]).stop();
    let kept = folder.path("elsewhere");
    fs::rename(folder.secret_file(), &kept).unwrap();
    let refusal = folder.refusal(&[NONE]);
    refusal.names(&[text(&folder.secret_file()), text(&folder.database()), "SYNC_MASTER_SECRET"]);
    assert!(!folder.secret_file().exists(), "it must not make another one");
    fs::rename(&kept, folder.secret_file()).unwrap();
    folder.start_with(&[NONE]).stop();
}

#[tokio::test]
async fn with_another_secret_the_server_refuses_and_keeps_both_out_of_its_words() {
    let folder = Folder::new();
    folder.start().stop();
    let refusal = folder.refusal(&[("SYNC_MASTER_SECRET", NEW)]);
    refusal.names(&[text(&folder.database()), "SYNC_MASTER_SECRET", "SYNC_PREVIOUS_MASTER_SECRETS"]);
    assert!(!refusal.why.contains(NEW) && !refusal.why.contains(SECRET), "{refusal:?}");
    folder.start().stop();
}

#[tokio::test]
async fn a_secret_file_that_holds_another_secret_is_refused_by_its_name() {
    let folder = Folder::new();
    folder.start_with(&[NONE]).stop();
    fs::write(folder.secret_file(), "something else entirely\n").unwrap();
    folder.refusal(&[NONE]).names(&[text(&folder.secret_file()), "another master secret"]);
    fs::write(folder.secret_file(), "\n").unwrap();
    folder.refusal(&[NONE]).names(&[text(&folder.secret_file()), "empty"]);
}

#[tokio::test]
async fn a_secret_is_changed_without_signing_anybody_out() {
    let folder = Folder::new();
    let server = folder.start();
    let mut client = server.user(1).await;
    client.keep("a", "kept").await;
    let old_token = client.token;
    server.stop();

    let rotation = [("SYNC_MASTER_SECRET", NEW), ("SYNC_PREVIOUS_MASTER_SECRETS", SECRET)];
    let server = folder.start_with(&rotation);
    let mut client = server.user_of(NEW, 1).await;
    assert_eq!(client.kept("a").await, "kept");
    client.token = old_token.clone();
    assert_eq!(client.kept("a").await, "kept", "an old token is good until it ends");
    server.stop();
    // Once more, as a server that is restarted for other reasons.
    folder.start_with(&rotation).stop();

    // When the old tokens have ended.
    let server = folder.start_with(&[("SYNC_MASTER_SECRET", NEW)]);
    let mut client = server.user_of(NEW, 1).await;
    assert_eq!(client.kept("a").await, "kept");
    client.token = old_token;
    assert_eq!(client.get("/storage/kept/a").await.status, 401);
    server.stop();
    // There is no way back but another rotation.
    folder.refusal(&[]).names(&["SYNC_MASTER_SECRET"]);
    folder.start_with(&[("SYNC_PREVIOUS_MASTER_SECRETS", NEW)]).stop();
}

#[tokio::test]
async fn secrets_may_come_from_files() {
    let folder = Folder::new();
    let secret = folder.write("secret", &format!("{SECRET}\n"));
    let previous = folder.write("previous", &format!("{NEW}\nwith, a comma\n"));
    let metrics = folder.write("metrics", "a metrics secret\n");
    let url = folder.write("url", &format!("sqlite://{}\n", folder.path("other.db").display()));
    let fxa = MockFxa::start();
    let server = folder.start_with(&[
        NONE,
        ("SYNC_MASTER_SECRET_FILE", &secret),
        ("SYNC_PREVIOUS_MASTER_SECRETS_FILE", &previous),
        ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET_FILE", &metrics),
        ("SYNC_SYNCSTORAGE__DATABASE_URL_FILE", &url),
        ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", &fxa.url()),
    ]);
    for secret in [SECRET, NEW, "with, a comma"] {
        let answer = server.user_of(secret, 1).await.get("/info/collections").await;
        assert_eq!(answer.status, 200, "{secret}");
    }
    let with_line_break = format!("{SECRET}\n");
    assert_eq!(server.user_of(&with_line_break, 1).await.get("/info/collections").await.status, 401);
    assert!(folder.path("other.db").is_file());

    let token = testclient::Jwt::access("someone", 1_000).sign(&Key::first());
    let request = Request::get("/").header("Authorization", format!("Bearer {token}")).header("X-KeyID", "1000-qqqq");
    let answer = server.connect().await.send(&request).await.unwrap().json();
    assert!(open_token_id(SECRET, answer["id"].as_str().unwrap()).is_some());
    // printf someone | openssl dgst -sha256 -hmac 'a metrics secret'
    assert_eq!(answer["hashed_fxa_uid"], "87003f2640f4f2df2f29892ff101da32");
}

#[test]
fn a_secret_and_its_file_at_once_or_a_file_that_is_not_there_are_refused() {
    let folder = Folder::new();
    let file = folder.write("secret", SECRET);
    folder.refusal(&[("SYNC_MASTER_SECRET_FILE", &file)]).names(&["SYNC_MASTER_SECRET", "SYNC_MASTER_SECRET_FILE"]);
    let missing = folder.path("missing");
    let refusal = folder.refusal(&[NONE, ("SYNC_MASTER_SECRET_FILE", text(&missing))]);
    refusal.names(&["SYNC_MASTER_SECRET_FILE", text(&missing)]);
    assert!(!folder.data().exists(), "nothing was made");
}
