//! The page about logs has every field that is logged.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{root, text};

/// The fields of the calls of slog's macros in a source file, without those in its tests.
fn fields(source: &str) -> BTreeSet<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut fields = BTreeSet::new();
    for call in source.split("slog::").skip(1) {
        let is_macro = ["crit!(", "error!(", "warn!(", "info!(", "debug!(", "trace!(", "o!("];
        if !is_macro.iter().any(|name| call.starts_with(name)) {
            continue;
        }
        let call = call.split(");\n").next().unwrap_or_default();
        let pieces: Vec<_> = call.split("\" => ").collect();
        let names = pieces[..pieces.len() - 1].iter().filter_map(|piece| piece.rsplit('"').next());
        fields.extend(names.map(ToOwned::to_owned));
    }
    fields
}

fn all_fields(folder: &Path, fields_of_all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_fields(&path, fields_of_all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            fields_of_all.extend(fields(&std::fs::read_to_string(path).unwrap()));
        }
    }
}

#[test]
fn fields_are_found_in_the_source() {
    let source = "slog::warn!(log, \"it is \\\"so\\\"\"; \"a\" => 1,\n \"b.c\" => f(x));\nmatch x { \"no\" => 1 }\n\
        slog::o!(\"d\" => 2);\n#[cfg(test)] slog::info!(log, \"\"; \"e\" => 3);\n";
    assert_eq!(fields(source), ["a", "b.c", "d"].map(ToOwned::to_owned).into());
}

#[test]
fn every_field_of_the_log_is_documented_and_no_other() {
    let mut logged = BTreeSet::from(["time", "level", "msg"].map(ToOwned::to_owned));
    all_fields(&root().join("syncserver/src"), &mut logged);
    let page = text("docs/src/logs.md");
    let (_, table) = page.split_once("## Fields").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(ToOwned::to_owned).collect();
    assert!(logged.len() > 20);
    assert_eq!(logged, documented);
}
