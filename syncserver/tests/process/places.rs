//! Addresses and folders that cannot be used.

use std::fs;
use std::net::TcpListener;

use crate::program::{Folder, text};

#[test]
fn a_port_in_use_is_told_and_the_data_is_left_alone() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let folder = Folder::new();
    folder.refusal(&[("SYNC_PORT", &port)]).names(&["127.0.0.1", &port, "SYNC_PORT", "in use"]);
    assert!(!folder.data().exists());
}

#[test]
fn an_address_of_another_machine_is_told() {
    let folder = Folder::new();
    folder.refusal(&[("SYNC_HOST", "192.0.2.1")]).names(&["192.0.2.1", "SYNC_HOST"]);
}

// Permissions do not bind every user that runs tests, so these are folders that nobody can make or write to.

#[test]
fn a_file_in_place_of_the_data_folder_is_told() {
    let folder = Folder::new();
    fs::write(folder.data(), "a file").unwrap();
    folder.refusal(&[]).names(&[text(&folder.data()), "data_dir"]);
    assert_eq!(fs::read_to_string(folder.data()).unwrap(), "a file");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_told() {
    let folder = Folder::new();
    let below_a_file = format!("{}/data", folder.write("file", ""));
    for path in [below_a_file.as_str(), "/proc/self/data"] {
        folder.refusal(&[("SYNC_DATA_DIR", path)]).names(&[path, "data_dir"]);
    }
}

#[test]
fn a_folder_in_place_of_the_database_is_told() {
    let folder = Folder::new();
    fs::create_dir_all(folder.database()).unwrap();
    folder.refusal(&[]).names(&[text(&folder.database()), "database_url"]);
}

#[test]
fn a_folder_in_place_of_the_secret_is_told() {
    let folder = Folder::new();
    fs::create_dir_all(folder.secret_file()).unwrap();
    folder.refusal(&[("SYNC_MASTER_SECRET", "")]).names(&[text(&folder.secret_file())]);
}

#[test]
fn a_database_that_this_program_does_not_know_is_told_without_its_password() {
    let folder = Folder::new();
    let url = "oracle://sync:pass-word@host/db";
    let refusal = folder.refusal(&[("SYNC_SYNCSTORAGE__DATABASE_URL", url)]);
    refusal.names(&["database_url", "oracle", "sqlite"]);
    assert!(!refusal.why.contains("pass-word"), "{refusal:?}");
}
