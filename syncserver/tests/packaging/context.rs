//! What Docker sends to a build: the project's folder without what `.dockerignore` names.

use std::fs;
use std::path::Path;

use crate::{root, text};

/// The rules of a `.dockerignore`.
pub(crate) struct Ignored(Vec<Vec<String>>);

impl Ignored {
    /// Of the text of a `.dockerignore`.
    pub(crate) fn of(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let rule = |line: &str| {
            assert!(!line.contains(['!', '[', '?']), "not known here: {line}");
            line.trim_matches('/').split('/').map(ToOwned::to_owned).collect()
        };
        Self(lines.map(rule).collect())
    }

    /// Whether this path, or a folder that it is in, is left out.
    pub(crate) fn contains(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        (1..=parts.len()).any(|end| self.0.iter().any(|rule| fits(rule, &parts[..end])))
    }
}

fn fits(rule: &[String], path: &[&str]) -> bool {
    match (rule, path) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "**" => (0..=path.len()).any(|skipped| fits(rest, &path[skipped..])),
        ([first, rest @ ..], [name, path @ ..]) => fits_name(first, name) && fits(rest, path),
        _ => false,
    }
}

/// A `*` stands for any text.
fn fits_name(rule: &str, name: &str) -> bool {
    match rule.split_once('*') {
        None => rule == name,
        Some((before, after)) => name.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| fits_name(after, &rest[at..]))
        }),
    }
}

/// Copies what `COPY . .` copies into a folder. The times of the files stay, as they do in a build.
pub(crate) fn copy_into(folder: &Path) {
    let ignored = Ignored::of(&text(".dockerignore"));
    copy(&root(), "", folder, &ignored);
}

fn copy(from: &Path, below: &str, to: &Path, ignored: &Ignored) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if ignored.contains(&path) {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&entry.path(), &path, &to, ignored);
        } else if let Err(error) = fs::copy(entry.path(), &to) {
            // An editor's file may be gone already.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{path}: {error}");
        }
    }
}

#[test]
fn paths_are_left_out_by_the_rules_of_docker() {
    let ignored = Ignored::of("# a comment\n/target\n/*.md\n/*/tests\n**/.env\n**/*.db\n");
    for path in ["target", "target/debug/x", "README.md", "a/tests/b.rs", ".env", "a/b/.env", "sync.db", "a/sync.db"] {
        assert!(ignored.contains(path), "{path}");
    }
    for path in ["a/target", "a/README.md", "a/src/tests/b.rs", "Cargo.toml", "a/environment", "a/db"] {
        assert!(!ignored.contains(path), "{path}");
    }
}

#[test]
fn secrets_and_data_are_not_sent_to_a_build() {
    let ignored = Ignored::of(&text(".dockerignore"));
    for path in [".env", "data/sync.db", "data/master_secret", "secrets/database_url", "target/debug", ".git/config"] {
        assert!(ignored.contains(path), "{path}");
    }
}
