//! Where a backup may go, and what it must not take the place of.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::archive::{done, refused, used};
use crate::program::{Folder, Refusal, SECRET, run, text};

#[tokio::test]
async fn no_backup_takes_the_place_of_what_the_server_needs() {
    let folder = Folder::new();
    let server = used(&folder).await;
    let secret = folder.write("secret", SECRET);
    let others = ["certificate", "key", "roots", "settings.toml"].map(|name| folder.write(name, ""));
    let [certificate, key, roots, settings] = &others;
    let users = format!("postgres://127.0.0.1:9/users?sslrootcert={roots}&sslmode=verify-full");
    let database = folder.database();
    let beside = |end: &str| format!("{}{end}", database.display());
    let (hard, soft) = (folder.path("hard"), folder.path("soft"));
    fs::hard_link(&database, &hard).unwrap();
    symlink(&database, &soft).unwrap();
    let by_another_path = folder.data().join("../data/sync.db");
    let before = fs::read(&database).unwrap().len();
    // Some are not there: a backup of that name would be in the way once the server wants them.
    let needed =
        [beside(""), beside("-wal"), beside("-shm"), beside("-journal"), text(&folder.secret_file()).to_owned()];
    let other_names = [&hard, &soft, &by_another_path].map(|path| text(path).to_owned());
    for file in needed.iter().chain(&other_names).chain(&others).chain([&secret]) {
        for force in [&[][..], &["--force"]] {
            let mut backup = folder.command(&[
                ("SYNC_MASTER_SECRET", ""),
                ("SYNC_MASTER_SECRET_FILE", &secret),
                ("SYNC_TLS_CERTIFICATE", certificate),
                ("SYNC_TLS_KEY", key),
                ("SYNC_TOKENSERVER__DATABASE_URL", &users),
            ]);
            backup.args(["--config", settings, "backup", file]).args(force);
            Refusal::of(backup).names(&[file, "a file that the server needs", "another file"]);
        }
    }
    assert_eq!(fs::read(&database).unwrap().len(), before);
    assert!(!folder.secret_file().exists());
    assert!(others.iter().all(|file| fs::read(file).unwrap().is_empty()));
    server.user(1).await.keep("later", "x").await;
    server.stop();
    assert_eq!(folder.start().user(1).await.kept("later").await, "x");
}

#[tokio::test]
async fn only_a_regular_file_is_overwritten() {
    let folder = Folder::new();
    used(&folder).await.stop();
    let [pipe, link] = ["pipe", "link"].map(|name| folder.path(name));
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(&pipe);
    assert!(run(mkfifo).status.success());
    symlink(&pipe, &link).unwrap();
    for file in [&pipe, &link] {
        refused(&folder, &["backup", text(file), "--force"]).names(&["no regular file", "backup - >", text(file)]);
    }
    assert!(fs::metadata(&link).unwrap().file_type().is_fifo());
    refused(&folder, &["backup", text(&folder.data()), "--force"]).names(&["is a folder", text(&folder.data())]);
}

#[tokio::test]
async fn behind_a_symbolic_link_the_file_is_overwritten_and_not_the_link() {
    let folder = Folder::new();
    used(&folder).await.stop();
    fs::create_dir(folder.path("elsewhere")).unwrap();
    let (file, link) = (folder.write("elsewhere/backup", "an older one"), folder.path("link"));
    symlink(&file, &link).unwrap();
    refused(&folder, &["backup", text(&link)]).names(&["is there already", "--force"]);
    done(&folder, &["backup", text(&link), "--force"]);
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(&file));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    done(&folder, &["verify", &file]);
    fs::remove_file(&file).unwrap();
    refused(&folder, &["backup", text(&link), "--force"]).names(&["a symbolic link", text(&link)]);
    assert!(link.is_symlink() && !link.exists());
}
