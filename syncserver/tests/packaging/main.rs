//! The Dockerfile, the compose files and the documentation: that they name nothing that is not there, and that the server
//! starts with what they give it. None of it needs Docker.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod commands;
mod compose;
mod compose_schema;
mod context;
mod deb;
mod dockerfile;
mod firefox;
mod image;
mod links;
mod log_fields;
mod names;
#[path = "../process/program.rs"]
#[expect(dead_code, reason = "the tests of the program use more of it")]
mod program;
mod prometheus;
mod served;
mod unit;

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the whole project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The text of a file of the project.
fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names of the files in a folder of the project that end so, in order.
fn files(folder: &str, end: &str) -> Vec<String> {
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let names = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names
        .map(|name| format!("{prefix}{}", name.into_string().unwrap()))
        .filter(|name| name.ends_with(end))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no {end} in {folder:?}");
    names
}

/// What people read: the pages of the book, and the files beside them.
fn pages() -> Vec<String> {
    ["", "docs", "docs/src"].into_iter().flat_map(|folder| files(folder, ".md")).collect()
}

/// The compose files.
fn compose_files() -> Vec<String> {
    files("", ".yml").into_iter().filter(|name| name.starts_with("docker-compose.")).collect()
}
