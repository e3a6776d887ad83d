//! `syncserver user`, while the server runs.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection as _, SqliteConnection};
use serde_json::{Value, json};

use crate::program::{Folder, text};
use crate::site::{ALICE, BOB, Site};

const DOMAIN: &str = "api.accounts.firefox.com";
const PHONE: &str = "Mozilla/5.0 (Android 14; Mobile; rv:153.0) Gecko/153.0 Firefox/153.0";
const ALLOW_LIST: (&str, &str) = ("SYNC_TOKENSERVER__REGISTRATION", "allow_list");

#[tokio::test]
async fn users_are_listed_with_what_they_have() {
    let site = Site::start(&[]);
    assert_eq!(site.done(&["user", "list"]), "There are no users yet.\n");
    assert_eq!(site.json(&["user", "list", "--json"]), json!([]));
    let (alice, mut client) = site.sign_in(ALICE).await;
    let (bob, _) = site.sign_in(BOB).await;
    client.keep("a", "0123456789").await;
    let has_devices = |users: &Value| users.as_array().unwrap().iter().all(|user| user["devices"] == 1);
    let users = site.json_once(&["user", "list", "--json"], has_devices).await;
    let user = &users[0];
    assert_eq!((&user["uid"], &user["account"], &user["node"]), (&json!(alice), &json!(ALICE), &json!(site.url())));
    assert_eq!((&user["bytes"], &user["devices"], &user["verdict"]), (&json!(10), &json!(1), &Value::Null));
    assert_eq!(user["email"], format!("{ALICE}@{DOMAIN}"));
    for time in ["created", "last_write"] {
        let text = user[time].as_str().unwrap();
        assert!(text.starts_with("20") && text.ends_with('Z'), "{text}");
    }
    assert_eq!((&users[1]["uid"], &users[1]["bytes"], &users[1]["last_write"]), (&json!(bob), &json!(0), &Value::Null));
    let table = site.done(&["user", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].contains("ACCOUNT") && lines[0].contains("DEVICES"), "{table}");
    assert!(lines[1].contains(ALICE) && lines[1].contains("10 B"), "{table}");
    assert!(lines[2].contains(BOB) && lines[2].contains("never"), "{table}");
    assert_eq!(lines.len(), 3, "{table}");
}

#[tokio::test]
async fn a_user_is_shown_by_any_name_with_devices_and_collections() {
    let site = Site::start(&[
        ("SYNC_SYNCSTORAGE__ENFORCE_QUOTA", "true"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_QUOTA_LIMIT", "1000"),
    ]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    assert_eq!(site.ask(ALICE, PHONE).await.status, 200);
    client.keep("a", "0123456789").await;
    client.keep("b", "0123456789").await;
    let (uid_text, email) = (uid.to_string(), format!("{ALICE}@{DOMAIN}"));
    let two = |user: &Value| user["devices"].as_array().unwrap().len() == 2;
    let shown = site.json_once(&["user", "show", ALICE, "--json"], two).await;
    for name in [uid_text.as_str(), &email, &ALICE.to_uppercase()] {
        assert_eq!(site.json(&["user", "show", name, "--json"]), shown, "{name}");
    }
    let names: Vec<&str> =
        shown["devices"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Firefox on Android, phone") && names.contains(&"Firefox on Linux, desktop"), "{names:?}");
    assert_eq!((&shown["uid"], &shown["retired"], &shown["account"]), (&json!(uid), &json!(false), &Value::Null));
    assert_eq!(shown["rows"].as_array().unwrap().len(), 1);
    let storage = &shown["storage"];
    assert_eq!((&storage["bytes"], &storage["quota"]), (&json!(20), &json!({ "bytes": 1000, "enforced": true })));
    let collection = &storage["collections"][0];
    assert_eq!((&collection["name"], &collection["records"]), (&json!("kept"), &json!(2)));
    assert_eq!((&collection["bytes"], storage["collections"].as_array().unwrap().len()), (&json!(20), 1));
    let text = site.done(&["user", "show", &uid_text]);
    for words in [ALICE, "Firefox on Android, phone", "kept", "20 B", "2.0 % of the quota of 1.0 KB", &site.url()] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let unknown = site.refused(&["user", "show", BOB]);
    assert!(unknown.contains(BOB) && unknown.contains("is no user"), "{unknown}");
}

#[tokio::test]
async fn a_newcomer_is_pending_until_allowed_and_no_restart_is_needed() {
    let site = Site::start(&[ALLOW_LIST]);
    assert!(site.done(&["user", "list", "--pending"]).contains("Nobody waits"));
    assert_eq!(site.ask(ALICE, PHONE).await.status, 403);
    let pending = site.json_once(&["user", "list", "--pending", "--json"], |all| all[0].is_object()).await;
    assert_eq!((&pending[0]["account"], &pending[0]["reason"]), (&json!(ALICE), &json!("allow_list")));
    assert_eq!(pending[0]["refusals"], 1);
    let table = site.done(&["user", "list", "--pending"]);
    assert!(
        table.contains(ALICE) && table.contains("not on the allow list") && table.contains("user allow"),
        "{table}"
    );
    assert!(site.done(&["user", "show", ALICE]).contains("is not a user"));
    assert!(site.done(&["user", "list"]).contains("no users yet"), "nothing was made of it");
    let said = site.done(&["user", "allow", ALICE]);
    assert_eq!(said, format!("{ALICE} may sign in for the first time.\n"));
    assert_eq!(site.json(&["user", "list", "--pending", "--json"]), json!([]));
    assert_eq!(site.json(&["user", "list", "--allowed", "--json"])[0]["account"], ALICE);
    site.sign_in(ALICE).await;
    assert!(site.done(&["user", "allow", ALICE]).contains("is a user already"));
    // Taken back, and once more than that.
    assert!(site.done(&["user", "allow", ALICE, "--undo"]).contains("no longer allowed"));
    assert!(site.refused(&["user", "allow", ALICE, "--undo"]).contains("is not allowed"));
    site.sign_in(ALICE).await;
    assert_eq!(site.ask(BOB, PHONE).await.status, 403);
}

#[tokio::test]
async fn a_word_that_does_not_help_says_so() {
    let site = Site::start(&[("SYNC_TOKENSERVER__REGISTRATION", "closed")]);
    let allowed = site.command(&["user", "allow", ALICE]);
    let why = String::from_utf8(allowed.stderr).unwrap();
    assert!(why.contains("closed for everybody") && why.contains("allow_list"), "{why}");
    assert_eq!(site.ask(ALICE, PHONE).await.status, 403);
    let site = site.restart(&[ALLOW_LIST, ("SYNC_TOKENSERVER__MAX_USERS", "1")]);
    site.sign_in(ALICE).await;
    let why = String::from_utf8(site.command(&["user", "allow", BOB]).stderr).unwrap();
    assert!(why.contains("tokenserver.max_users"), "{why}");
    assert_eq!(site.ask(BOB, PHONE).await.status, 403);
    for (name, why) in [
        ("alice@example.com", "not by its e-mail address"),
        ("4711", "there is no storage user 4711"),
        ("", "is no account's id"),
    ] {
        let refused = site.refused(&["user", "allow", name]);
        assert!(refused.contains(why), "{name}: {refused}");
    }
    let odd = site.command(&["user", "allow", "carol"]);
    assert!(String::from_utf8(odd.stderr).unwrap().contains("32 hexadecimal digits"));
    assert_eq!(site.json(&["user", "list", "--allowed", "--json"]).as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_user_who_is_denied_is_refused_and_comes_back_with_all_data() {
    let site = Site::start(&[]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    client.keep("a", "hers").await;
    let said = site.done(&["user", "deny", &uid.to_string()]);
    assert!(said.contains("is denied") && said.contains(&format!("uid {uid}")), "{said}");
    assert!(site.done(&["user", "deny", BOB]).contains("cannot become a user"));
    for account in [ALICE, BOB] {
        assert_eq!(site.ask(account, PHONE).await.status, 403);
    }
    let denied = site.json(&["user", "list", "--denied", "--json"]);
    assert_eq!(denied.as_array().unwrap().len(), 2);
    assert_eq!(site.json(&["user", "list", "--json"])[0]["verdict"], "denied");
    assert!(site.done(&["user", "show", ALICE]).contains("Denied"));
    site.done(&["user", "deny", ALICE, "--undo"]);
    assert!(site.done(&["user", "allow", BOB]).contains("no longer denied"));
    let (back, mut client) = site.sign_in(ALICE).await;
    assert_eq!(back, uid);
    assert_eq!(client.kept("a").await, "hers");
    site.sign_in(BOB).await;
}

#[tokio::test]
async fn a_wipe_takes_the_data_and_leaves_the_user() {
    let site = Site::start(&[]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    let (_, mut other) = site.sign_in(BOB).await;
    client.keep("a", "hers").await;
    other.keep("a", "his").await;
    // Nobody can be asked here.
    let refused = site.refused(&["user", "wipe", ALICE]);
    assert!(refused.contains("--yes") && refused.contains("deletes all"), "{refused}");
    assert_eq!(client.kept("a").await, "hers");
    site.done(&["user", "wipe", ALICE, "--yes"]);
    // The very same token finds an empty storage, and may write to it.
    assert_eq!(client.get("/storage/kept/a").await.status, 404);
    assert_eq!(client.get("/info/collections").await.json(), json!({}));
    client.keep("a", "uploaded anew").await;
    assert_eq!(site.sign_in(ALICE).await.0, uid);
    assert_eq!(other.kept("a").await, "his");
    assert!(site.refused(&["user", "wipe", "99999", "--yes"]).contains("there is no user"));
}

#[tokio::test]
async fn a_user_who_is_deleted_is_gone_and_may_come_back_as_a_new_one() {
    let site = Site::start(&[]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    let (bob, mut other) = site.sign_in(BOB).await;
    client.keep("a", "hers").await;
    other.keep("a", "his").await;
    site.json_once(&["user", "show", ALICE, "--json"], |user| user["devices"][0].is_object()).await;
    assert!(site.refused(&["user", "delete", ALICE]).contains("--yes"));
    let deleted = site.command(&["user", "delete", ALICE, "--yes"]);
    assert_eq!(deleted.status.code(), Some(0), "{deleted:?}");
    assert_eq!(String::from_utf8(deleted.stdout).unwrap(), format!("Deleted {ALICE}.\n"));
    assert!(String::from_utf8(deleted.stderr).unwrap().contains(&format!("syncserver user deny {ALICE}")));
    assert_eq!(client.get("/storage/kept/a").await.status, 404);
    assert!(site.refused(&["user", "show", &uid.to_string()]).contains("no storage user"));
    assert_eq!(site.json(&["user", "list", "--json"]).as_array().unwrap().len(), 1);
    let (new, mut client) = site.sign_in(ALICE).await;
    assert!(new > bob, "the uid {uid} is never used again, found {new}");
    assert_eq!(client.get("/storage/kept/a").await.status, 404);
    // Denied before, nobody comes back, and nothing is said of that.
    site.done(&["user", "deny", ALICE]);
    assert!(site.command(&["user", "delete", ALICE, "--yes"]).stderr.is_empty());
    assert_eq!(site.ask(ALICE, PHONE).await.status, 403);
    assert_eq!(other.kept("a").await, "his");
}

#[tokio::test]
async fn a_user_who_is_retired_stays_so() {
    let site = Site::start(&[]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    client.keep("a", "hers").await;
    assert!(site.refused(&["user", "retire", ALICE]).contains("--yes"));
    assert_eq!(site.done(&["user", "retire", ALICE, "--yes"]), format!("Retired {ALICE}.\n"));
    assert!(site.done(&["user", "retire", &uid.to_string(), "--yes"]).contains("already"));
    assert_eq!(site.ask(ALICE, PHONE).await.status, 403);
    assert_eq!(
        site.json(&["user", "list", "--denied", "--json"]).as_array().unwrap().len(),
        1,
        "also when the row is gone"
    );
    assert_eq!(site.json(&["user", "list", "--json"]), json!([]));
    assert_eq!(site.json(&["user", "list", "--retired", "--json"])[0]["uid"], uid);
    assert_eq!(site.json(&["user", "show", ALICE, "--json"])["retired"], true);
    // The data is there until a purge a day from now.
    assert_eq!(client.kept("a").await, "hers");
    site.done(&["purge", "--once"]);
    assert_eq!(client.kept("a").await, "hers");
}

#[test]
fn a_wrong_command_line_is_told_as_such() {
    let folder = Folder::new();
    for wrong in [&["user"][..], &["user", "list", "--denied", "--allowed"], &["user", "wipe"], &["node", "add", "x"]] {
        let mut command = folder.command(&[]);
        command.args(wrong);
        assert_eq!(crate::program::run(command).status.code(), Some(2), "{wrong:?}");
    }
    let mut command = folder.command(&[]);
    command.args(["user", "list"]);
    crate::program::Refusal::of(command).names(&["there is no database", "--config"]);
    assert!(!folder.data().exists(), "nothing was made");
}

/// On a terminal, which `script` makes, a person is asked.
#[tokio::test]
async fn on_a_terminal_the_uid_has_to_be_typed() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let site = Site::start(&[]);
    let (uid, mut client) = site.sign_in(ALICE).await;
    client.keep("a", "hers").await;
    let wipe_with = |answer: String| {
        let line = format!("{} user wipe {ALICE}", crate::program::BINARY);
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let mut command = site.folder.command_of(script, &[("SYNC_PORT", &site.server.addr.port().to_string())]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{answer}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, shown) = wipe_with("yes".to_owned());
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains(&format!("Type {uid} to go on")) && shown.contains("nothing was done"), "{shown}");
    assert_eq!(client.kept("a").await, "hers");
    let (code, shown) = wipe_with(uid.to_string());
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(client.get("/storage/kept/a").await.status, 404);
}

/// On SQLite the command is a second process that writes to the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_get_their_turn_while_the_server_is_busy() {
    let site = Site::start(&[]);
    let (uid, _) = site.sign_in(ALICE).await;
    let load = crate::load::Load::on(&site.server, "busy").await;
    for n in 0..10 {
        site.done(&["user", "allow", &format!("{n:032x}")]);
        site.done(&["user", "show", &uid.to_string()]);
    }
    assert_eq!(site.json(&["user", "list", "--allowed", "--json"]).as_array().unwrap().len(), 10);
    site.server.terminate();
    load.end().await;
    let errors: Vec<_> = site.server.log_lines().into_iter().filter(|line| line.contains("locked")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A request would be told to come back after five.
#[tokio::test]
async fn a_command_waits_for_its_turn_longer_than_a_request() {
    let site = Site::start(&[]);
    if !site.folder.is_sqlite() {
        return;
    }
    let mut other = SqliteConnection::establish(text(&site.folder.database())).unwrap();
    other.batch_execute("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").unwrap();
    // Who only reads waits for nobody.
    site.done(&["user", "list"]);
    let (begin, long) = (Instant::now(), Duration::from_secs(7));
    let held = std::thread::spawn(move || {
        std::thread::sleep(long);
        other.batch_execute("COMMIT").unwrap();
    });
    site.done(&["user", "allow", &format!("{:032x}", 1)]);
    assert!(begin.elapsed() >= long, "{:?}", begin.elapsed());
    held.join().unwrap();
}

#[tokio::test]
async fn a_name_that_may_mean_two_accounts_is_asked_back() {
    let site = Site::start(&[]);
    let (uid, _) = site.sign_in(ALICE).await;
    // An account whose id is the other one's uid.
    site.sign_in(&uid.to_string()).await;
    let site = site.restart(&[("SYNC_TOKENSERVER__FXA_EMAIL_DOMAIN", "other.example")]);
    let (other, _) = site.sign_in(ALICE).await;
    assert_ne!(uid, other);
    let (first, second) = (format!("{ALICE}@{DOMAIN}"), format!("{ALICE}@other.example"));
    for command in ["show", "allow", "wipe"] {
        let refused = site.refused(&["user", command, ALICE]);
        assert!(refused.contains(&format!("name one in full: {first}, {second}")), "{command}: {refused}");
    }
    let refused = site.refused(&["user", "show", &uid.to_string()]);
    assert!(refused.contains(&format!("{uid}@{DOMAIN}, {first}")), "{refused}");
    for (name, uid) in [(first, uid), (second, other)] {
        assert_eq!(site.json(&["user", "show", &name, "--json"])["uid"], uid);
    }
}
