//! `backup`, `restore`, `verify` and `import`, as an operator types them. What they bring over is compared in
//! `tests/archive`; here it is that they refuse, and that clients go on.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testclient::Request;

use crate::program::{Folder, Refusal, Server, run, text};

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command(&[]);
    command.args(arguments);
    command
}

pub(crate) fn done(folder: &Folder, arguments: &[&str]) -> Output {
    let output = run(command(folder, arguments));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    output
}

pub(crate) fn refused(folder: &Folder, arguments: &[&str]) -> Refusal {
    Refusal::of(command(folder, arguments))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A server with a few records of two users.
pub(crate) async fn used(folder: &Folder) -> Server {
    let server = folder.start();
    let mut one = server.user(1).await;
    for n in 0..20 {
        one.keep(&n.to_string(), &format!("payload {n} 🦊")).await;
    }
    server.user(2).await.keep("a", "of another").await;
    server
}

/// The file is made while the server serves. A client notices nothing but that the server was away.
#[tokio::test]
async fn a_backup_made_while_serving_is_restored_and_clients_go_on() {
    let (old, new) = (Folder::on_backend(), Folder::on_backend());
    let server = used(&old).await;
    let file = old.path("backup");
    let made = done(&old, &["backup", text(&file)]);
    assert!(out(&made).contains("21 records in 2 collections of 2 stores"), "{made:?}");
    assert!(made.stderr.is_empty(), "no progress without a terminal: {made:?}");
    let mut client = server.user(1).await;
    let before = client.get("/storage/kept?full=1&sort=newest").await;
    // Not in the backup.
    client.keep("late", "x").await;
    server.stop();

    let restored = done(&new, &["restore", text(&file)]);
    assert!(out(&restored).contains("Restored 21 records"), "{restored:?}");
    assert!(out(&restored).contains("master secret"), "{restored:?}");
    done(&new, &["verify", text(&file), "--against-database"]);
    let server = new.start();
    let mut client = server.user(1).await;
    let after = client.get("/storage/kept?full=1&sort=newest").await;
    assert_eq!(after.json(), before.json());
    let time = before.header("X-Last-Modified").unwrap();
    assert_eq!(after.header("X-Last-Modified"), Some(time));
    let put = |since: &str| {
        let request = Request::put(client.token.path("/storage/kept/new"), "{\"payload\":\"y\"}");
        request.header("Content-Type", "application/json").header("X-If-Unmodified-Since", since).auth(&client.token)
    };
    let (too_early, as_known) = (put("1000000000.00"), put(time));
    let answer = client.connection.send(&as_known).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().parse::<f64>().unwrap() > time.parse::<f64>().unwrap());
    assert_eq!(client.connection.send(&too_early).await.unwrap().status, 412);
    assert_eq!(server.user(2).await.kept("a").await, "of another");
    server.stop();
    let differs = refused(&new, &["verify", text(&file), "--against-database"]);
    differs.names(&["does not hold what the backup does", "user 1"]);
    assert!(!differs.why.contains("payload"), "{differs:?}");
}

#[tokio::test]
async fn a_file_that_is_there_is_overwritten_only_by_force_and_is_private() {
    let folder = Folder::new();
    used(&folder).await.stop();
    let file = folder.write("backup", "something else");
    refused(&folder, &["backup", &file]).names(&[&file, "--force"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "something else");
    done(&folder, &["backup", &file, "--force"]);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    done(&folder, &["verify", &file]);
    let around = fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut around: Vec<_> = around.collect();
    around.sort();
    assert_eq!(around, ["backup", "data"], "nothing else is left");
    refused(&folder, &["backup", text(&folder.path("no/such/folder"))])
        .names(&["no backup was made", "no/such/folder"]);
}

#[test]
fn without_a_database_nothing_is_made() {
    let folder = Folder::new();
    let file = folder.path("backup");
    refused(&folder, &["backup", text(&file)]).names(&["there is no database"]);
    assert!(!file.exists() && !folder.data().exists());
    refused(&folder, &["restore", text(&file)]).names(&["cannot read", text(&file)]);
    refused(&folder, &["verify", text(&file)]).names(&["cannot read", text(&file)]);
    for (setting, says) in [(("SYNC_LOG_LEVEL", "info"), "there is no database"), (("SYNC_PORTT", "3"), "SYNC_PORTT")] {
        let mut verify = folder.command(&[setting]);
        verify.args(["verify", text(&file), "--json", "--against-database"]);
        let verified = run(verify);
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap_or_else(|_| panic!("{verified:?}"));
        assert_eq!(report["ok"], Value::Bool(false));
        assert!(report["error"].as_str().unwrap().contains(says), "{report}");
    }
    refused(&folder, &["import", "--from", text(&file)]).names(&["there is no file", text(&file)]);
    assert!(!folder.data().exists());
}

#[tokio::test]
async fn a_backup_goes_through_pipes() {
    let (old, new) = (Folder::new(), Folder::new());
    used(&old).await.stop();
    let made = done(&old, &["backup", "-", "--json"]);
    let about: Value = serde_json::from_slice(&made.stderr).unwrap();
    assert_eq!(about["bytes"], Value::from(made.stdout.len()), "{about}");
    let through = |folder: &Folder, arguments: &[&str]| {
        let mut child = command(folder, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&made.stdout).unwrap();
        child.wait_with_output().unwrap()
    };
    let verified = through(&old, &["verify", "-", "--json"]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&report["ok"], &report["counts"]["records"]), (&Value::Bool(true), &Value::from(21)));
    assert_eq!(report["backup"]["storage"], "sqlite");
    let by_name = through(&old, &["verify", "/dev/stdin"]);
    assert_eq!(by_name.status.code(), Some(0), "{by_name:?}");
    for pipe in ["-", "/dev/stdin"] {
        let restored = through(&new, &["restore", pipe, "--force", "--yes"]);
        assert_eq!(restored.status.code(), Some(0), "{restored:?}");
        let server = new.start();
        assert_eq!(server.user(1).await.kept("7").await, "payload 7 🦊");
        server.stop();
    }
}

#[tokio::test]
async fn a_damaged_backup_is_told_with_the_place_and_restores_nothing() {
    let (old, new) = (Folder::new(), Folder::new());
    used(&old).await.stop();
    let file = old.path("backup");
    done(&old, &["backup", text(&file)]);
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, says) in [
        (&good[..good.len() / 2], "the backup is cut off"),
        (&flipped, "the backup"),
        (b"something else", "not a backup"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(&new, &["verify", text(&file)]).names(&[text(&file), says]);
        refused(&new, &["restore", text(&file)]).names(&[text(&file), says]);
        let json = run(command(&new, &["verify", text(&file), "--json"]));
        assert_eq!(json.status.code(), Some(1));
        let report: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(report["ok"], Value::Bool(false));
        assert!(report["error"].as_str().unwrap().contains(says), "{report}");
    }
    assert!(!new.database().exists());
}

/// What is there is removed only by force, and not without being asked.
#[tokio::test]
async fn a_database_that_is_not_empty_is_cleared_only_by_force() {
    let (old, new) = (Folder::new(), Folder::on_backend());
    used(&old).await.stop();
    let file = old.path("backup");
    done(&old, &["backup", text(&file)]);
    let server = new.start();
    server.user(3).await.keep("mine", "x").await;
    server.stop();
    let from = format!("sqlite://{}", old.database().display());
    for fill in [&["restore", text(&file)][..], &["import", "--from", &from]] {
        refused(&new, fill).names(&["is not empty", "--force"]);
        refused(&new, &[fill, &["--force"]].concat()).names(&["is removed first"]);
    }
    let server = new.start();
    assert_eq!(server.user(3).await.kept("mine").await, "x");
    server.stop();
    for fill in [&["restore", text(&file)][..], &["import", "--from", &from]] {
        done(&new, &[fill, &["--force", "--yes"]].concat());
        done(&new, &["verify", text(&file), "--against-database"]);
    }
    let server = new.start();
    assert_eq!(server.user(3).await.get("/storage/kept/mine").await.status, 404);
    assert_eq!(server.user(2).await.kept("a").await, "of another");
}

/// On SQLite; what the other databases can tell is tested in `tests/archive`.
#[tokio::test]
async fn a_restore_under_a_running_server_is_refused() {
    let folder = Folder::new();
    let server = used(&folder).await;
    let file = folder.path("backup");
    done(&folder, &["backup", text(&file)]);
    for more in [&[][..], &["--force", "--yes"]] {
        refused(&folder, &[&["restore", text(&file)], more].concat()).names(&["is in use", text(&folder.database())]);
    }
    assert_eq!(server.user(2).await.kept("a").await, "of another");
}

#[tokio::test]
async fn a_node_may_get_another_url_on_the_way() {
    let (old, new) = (Folder::new(), Folder::new());
    let url = ("SYNC_TOKENSERVER__INIT_NODE_URL", "https://old.example");
    old.start_with(&[url]).stop();
    let file = old.path("backup");
    done(&old, &["backup", text(&file)]);
    let mut moving = new.command(&[("SYNC_PUBLIC_URL", "https://new.example")]);
    moving.args(["restore", text(&file)]);
    let moved = run(moving);
    let says = String::from_utf8_lossy(&moved.stderr);
    for word in ["https://old.example", "--node-url https://old.example=https://new.example"] {
        assert!(says.contains(word), "{says}");
    }
    let mut moving = new.command(&[("SYNC_PUBLIC_URL", "https://new.example")]);
    // It has no users, so that there is nothing to be cleared by force.
    moving.args(["restore", text(&file), "--node-url", "https://old.example/=https://new.example"]);
    let moved = run(moving);
    assert!(moved.status.success() && moved.stderr.is_empty(), "{moved:?}");
    let wrong = run(command(&new, &["restore", text(&file), "--node-url", "https://old.example"]));
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[tokio::test]
async fn the_url_of_an_import_may_come_by_the_environment() {
    let (old, new) = (Folder::new(), Folder::new());
    used(&old).await.stop();
    let from = format!("sqlite://{}", old.database().display());
    let mut import = new.command(&[("SYNC_IMPORT_FROM", &from)]);
    import.arg("import");
    let imported = run(import);
    assert!(out(&imported).contains("Imported 21 records"), "{imported:?}");
    let unreachable = "postgres://user:pass-word@127.0.0.1:9/db";
    let refusal = refused(&new, &["import", "--from", unreachable]);
    refusal.names(&["--from: ", "cannot reach the database", "127.0.0.1:9"]);
    assert!(!refusal.why.contains("pass-word") && !refusal.why.contains("database_url"), "{refusal:?}");
    let backup = new.path("backup");
    done(&old, &["backup", text(&backup)]);
    refused(&new, &["import", "--from", text(&backup)]).names(&[
        "--from: ",
        text(&backup),
        "file is not a database",
        "syncserver restore",
    ]);
    refused(&new, &["import", "--from", &from, "--tokenserver-from", text(&backup)])
        .names(&["--tokenserver-from: ", text(&backup)]);
    let missing = run(command(&new, &["import"]));
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
}

/// Neither under its name nor under another.
#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_no_file() {
    let folder = Folder::new();
    let server = folder.start();
    let mut client = server.user(1).await;
    let mut random = 1_u64;
    for n in 0..20 {
        let mut records = Vec::new();
        for m in 0..10 {
            let mut payload = String::new();
            while payload.len() < 200_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                payload.push_str(&format!("{random:x}"));
            }
            records.push(serde_json::json!({"id": format!("{n}-{m}"), "payload": payload}));
        }
        let answer = client.post("/storage/large", &Value::from(records).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let target = folder.path("backups");
    fs::create_dir(&target).unwrap();
    let files = || fs::read_dir(&target).unwrap().count();
    let file = target.join("backup");
    let child =
        command(&folder, &["backup", text(&file)]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while files() == 0 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let says = String::from_utf8_lossy(&ended.stderr);
    assert!(says.contains("no backup was made: interrupted"), "{says}");
    assert_eq!(files(), 0);
}

/// A hard link has another path, and the file is the same one.
#[tokio::test]
async fn a_database_is_not_imported_into_itself_by_another_name() {
    let folder = Folder::new();
    used(&folder).await.stop();
    let link = folder.path("link.db");
    fs::hard_link(folder.database(), &link).unwrap();
    refused(&folder, &["import", "--from", text(&link), "--force", "--yes"])
        .names(&["is the database of the settings"]);
    let server = folder.start();
    assert_eq!(server.user(2).await.kept("a").await, "of another");
}

#[tokio::test]
async fn what_holds_nothing_does_not_take_the_place_of_something() {
    let (nothing, folder) = (Folder::new(), Folder::on_backend());
    nothing.start().stop();
    used(&folder).await.stop();
    let file = nothing.path("backup");
    done(&nothing, &["backup", text(&file)]);
    let from = format!("sqlite://{}", nothing.database().display());
    for fill in [&["restore", text(&file)][..], &["import", "--from", &from]] {
        refused(&folder, &[fill, &["--force", "--yes"]].concat()).names(&["there is nothing to", "Nothing was done"]);
    }
    let server = folder.start();
    assert_eq!(server.user(2).await.kept("a").await, "of another", "and no note keeps the server from its start");
}

#[tokio::test]
async fn a_change_of_urls_that_cannot_be_made_is_told_before_anything_is_cleared() {
    let folder = Folder::new();
    let url = ("SYNC_TOKENSERVER__INIT_NODE_URL", "https://old.example");
    let server = folder.start_with(&[url]);
    server.user(1).await.keep("a", "b").await;
    server.stop();
    done(&folder, &["node", "add", "https://second.example", "--capacity", "5"]);
    let file = folder.path("backup");
    let made = done(&folder, &["backup", text(&file)]);
    assert!(out(&made).contains(text(&folder.database())), "{made:?}");
    for (change, says) in [
        ("https://none.example=https://new.example", "there is no node https://none.example"),
        ("https://old.example=https://second.example", "there is a node https://second.example already"),
    ] {
        refused(&folder, &["restore", text(&file), "--force", "--yes", "--node-url", change]).names(&[says]);
    }
    let swapped = ["https://old.example=https://second.example", "https://second.example=https://old.example"];
    let arguments = ["restore", text(&file), "--force", "--yes", "--node-url", swapped[0], "--node-url", swapped[1]];
    let restored = done(&folder, &arguments);
    assert!(out(&restored).contains(text(&folder.database())), "{restored:?}");
}

/// Their storage comes over, and nobody would ever find it.
#[tokio::test]
async fn users_whom_this_server_would_not_know_are_named_by_an_import() {
    let (old, new) = (Folder::new(), Folder::new());
    used(&old).await.stop();
    crate::databases::sql(
        &old,
        "INSERT INTO users (service, email, generation, client_state, created_at, nodeid)
         SELECT id, 'a11ce@api.accounts.firefox.com', 1, '', 1, 0 FROM services
         UNION ALL SELECT id, 'b0b@elsewhere.example', 1, '', 1, 0 FROM services",
    );
    let imported = out(&done(&new, &["import", "--from", text(&old.database())]));
    assert!(imported.contains("1 rows of users are of the domain \"elsewhere.example\""), "{imported}");
    assert_eq!(imported.matches("rows of users are of the domain").count(), 1, "{imported}");
}

/// As a package starts it, before anything was brought to it.
#[tokio::test]
async fn a_server_that_made_a_secret_of_its_own_takes_the_old_one_after_a_restore() {
    let (old, new) = (Folder::new(), Folder::on_backend());
    used(&old).await.stop();
    let file = old.path("backup");
    done(&old, &["backup", text(&file)]);
    new.start_with(&[("SYNC_MASTER_SECRET", "a secret that was made at the first start")]).stop();
    new.refusal(&[]).names(&["another master secret"]);
    done(&new, &["restore", text(&file)]);
    let server = new.start();
    assert_eq!(server.user(1).await.kept("7").await, "payload 7 🦊");
    server.stop();
    new.refusal(&[("SYNC_MASTER_SECRET", "a secret that was made at the first start")])
        .names(&["another master secret"]);
}
