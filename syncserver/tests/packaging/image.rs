//! The Dockerfile of the project.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::dockerfile::{Stage, stages};
use crate::program::{BINARY, bare, run};
use crate::{context, root, text};

const KNOWN: [&str; 17] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
    "FROM",
];

/// All stages of the image.
pub(crate) fn image() -> Vec<Stage> {
    stages(&text("Dockerfile"))
}

/// The environment that the image gives the server.
pub(crate) fn environment() -> Vec<(String, String)> {
    image().pop().unwrap().one("ENV").pairs()
}

fn value(name: &str) -> String {
    let environment = environment();
    environment.into_iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is not in ENV")).1
}

/// The manifest of the workspace.
fn workspace() -> toml::Table {
    text("Cargo.toml").parse::<toml::Table>().unwrap()["workspace"].as_table().unwrap().clone()
}

/// What cargo finds in a folder: the packages, and the targets of each.
fn metadata(folder: &Path) -> BTreeSet<(String, Vec<String>)> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]).current_dir(folder);
    let output = run(command);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let targets = package["targets"].as_array().unwrap().iter();
            // Tests are not sent to the build.
            let targets = targets.filter(|target| target["kind"] != serde_json::json!(["test"]));
            let mut targets: Vec<_> = targets.map(|target| format!("{} {}", target["kind"], target["name"])).collect();
            targets.sort();
            (package["name"].as_str().unwrap().to_owned(), targets)
        })
        .collect()
}

#[test]
fn every_instruction_is_known_and_every_stage_named_before() {
    let mut names: Vec<String> = Vec::new();
    for stage in image() {
        for instruction in &stage.instructions {
            assert!(KNOWN.contains(&instruction.name.as_str()), "{instruction:?}");
            if let Some(from) = instruction.option("from") {
                assert!(names.iter().any(|name| name == from), "{instruction:?}: no such stage before");
            }
        }
        names.extend(stage.name);
    }
    assert_eq!(names, ["manifests", "build"]);
}

#[test]
fn what_is_copied_from_the_project_is_there() {
    let ignored = context::Ignored::of(&text(".dockerignore"));
    let mut copies = 0;
    for stage in image() {
        for copy in stage.all("COPY").into_iter().filter(|copy| copy.option("from").is_none()) {
            let words = copy.words();
            for path in &words[..words.len() - 1] {
                assert!(root().join(path).exists() && !ignored.contains(path), "{copy:?}");
                copies += 1;
            }
        }
    }
    assert!(copies > 0);
}

#[test]
fn the_build_gets_every_crate_and_its_first_stage_leaves_only_empty_ones() {
    let folder = TempDir::new().unwrap();
    context::copy_into(folder.path());
    let whole = metadata(&root());
    let members = workspace()["members"].as_array().unwrap().len();
    assert_eq!(whole.len(), members);
    assert_eq!(metadata(folder.path()), whole, "what .dockerignore leaves");

    // The real step, on the copy.
    let manifests = &image()[0];
    let mut command = Command::new("sh");
    command.args(["-ec", &manifests.one("RUN").rest]).current_dir(folder.path()).stderr(Stdio::inherit());
    assert!(run(command).status.success());
    assert_eq!(metadata(folder.path()), whole, "the crates without their sources");
    assert!(folder.path().join("Cargo.lock").exists(), "the build is of locked versions");
    let mut left = Vec::new();
    list(folder.path(), &mut left);
    for (path, text) in left {
        let manifest = path.ends_with("Cargo.toml") || path.ends_with("Cargo.lock");
        assert!(manifest || text.is_empty() || text == "fn main() { }\n", "{path}: {text}");
    }
}

/// All files in a folder.
fn list(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push((path.to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
}

#[test]
fn the_build_gets_every_file_that_the_sources_include() {
    let folder = TempDir::new().unwrap();
    context::copy_into(folder.path());
    let mut sources = Vec::new();
    list(folder.path(), &mut sources);
    let mut found = 0;
    for (path, text) in sources.iter().filter(|(path, _)| path.ends_with(".rs") && path.contains("/src/")) {
        let beside = Path::new(path).parent().unwrap();
        let package = beside.ancestors().find(|folder| folder.join("Cargo.toml").exists()).unwrap();
        for (included, from) in
            [("include_str!(\"", beside), ("include_bytes!(\"", beside), ("embed_migrations!(\"", package)]
        {
            for after in text.split(included).skip(1) {
                let name = after.split('"').next().unwrap();
                assert!(from.join(name).exists(), "{path} includes {name}, which .dockerignore leaves out");
                found += 1;
            }
        }
    }
    assert!(found > 5, "only {found}");
}

#[test]
fn the_compiler_is_as_new_as_the_workspace_wants() {
    let wanted = workspace()["package"]["rust-version"].as_str().unwrap().to_owned();
    let minor = |version: &str| version.split(['.', '-']).nth(1).unwrap().parse::<u32>().unwrap();
    for stage in &image()[..2] {
        let version = stage.image.strip_prefix("rust:").unwrap();
        assert!(version.starts_with("1.") && minor(version) >= minor(&wanted), "{version}, {wanted}");
        assert!(version.ends_with("bookworm"), "the C library of the build has to be that of the image");
    }
    assert!(image()[2].image.starts_with("debian:bookworm"));
}

#[test]
fn the_labels_say_what_the_manifest_says() {
    let labels = image().pop().unwrap().one("LABEL").pairs();
    let label = |name: &str| {
        let name = format!("org.opencontainers.image.{name}");
        labels.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no label {name}")).1.clone()
    };
    let package = &workspace()["package"];
    assert_eq!(label("version"), package["version"].as_str().unwrap());
    assert_eq!(label("licenses"), package["license"].as_str().unwrap());
    assert_eq!(label("source"), "${SYNCSERVER_SOURCE}");
    assert_eq!(label("revision"), "${SYNCSERVER_COMMIT}");
}

#[test]
fn the_build_takes_what_the_program_tells_of_its_origin() {
    let program = text("syncserver/src/web/ops.rs");
    let told: BTreeSet<_> =
        program.split("option_env!(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(told.len() >= 2);
    let build = &image()[1];
    let taken = build.all("ARG").into_iter().map(|arg| arg.rest.split('=').next().unwrap()).collect();
    assert_eq!(told, taken);
    // An argument that stands before the dependencies would have them built again for each commit.
    let at = |name: &str, last: bool| {
        let of = build.instructions.iter().enumerate().filter(|(_, instruction)| instruction.name == name);
        let at: Vec<_> = of.map(|(at, _)| at).collect();
        if last { at[at.len() - 1] } else { at[0] }
    };
    assert!(at("RUN", false) < at("ARG", false) && at("ARG", true) < at("RUN", true));
}

#[test]
fn the_image_serves_everybody_and_keeps_its_data_in_the_volume() {
    let image = image();
    let last = &image[2];
    let volume = last.one("VOLUME").rest.clone();
    assert_eq!(value("SYNC_DATA_DIR"), volume);
    assert_eq!(value("TMPDIR"), volume, "the rest of the image is read-only");
    assert_eq!(value("SYNC_HOST"), "0.0.0.0");
    let settings = syncserver::settings::load(None, environment()).unwrap();
    assert_eq!(last.one("EXPOSE").rest, settings.port.to_string());
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(last.one("STOPSIGNAL").rest, "SIGTERM");
    // The exec form: through a shell, the signal would not reach the server.
    assert_eq!(last.one("ENTRYPOINT").exec(), ["syncserver"]);
    let program = last.all("COPY")[0].words()[1].to_owned();
    assert_eq!(program, "/usr/local/bin/syncserver");
}

#[test]
fn the_image_runs_as_nobody_special_and_has_no_tools_to_build() {
    let image = image();
    let last = &image[2];
    let user = &last.one("USER").rest;
    let numbers: Vec<u32> = user.split(':').map(|number| number.parse().unwrap()).collect();
    assert!(numbers.len() == 2 && numbers.iter().all(|number| *number >= 10_000), "{user}");
    for instruction in last.all("RUN") {
        assert!(!instruction.rest.contains("apt"), "{instruction:?}");
        assert!(instruction.rest.contains(&format!("--uid {}", numbers[0])), "{instruction:?}");
        assert!(instruction.rest.contains(&format!("--gid {}", numbers[1])), "{instruction:?}");
    }
}

#[test]
fn the_health_check_is_a_command_of_the_program_and_has_time_to_fail() {
    let image = image();
    let check = image[2].one("HEALTHCHECK");
    let command = check.exec();
    assert_eq!(command[0], "syncserver");
    // Parsed and not run: nothing serves here.
    let mut program = bare(Command::new(BINARY));
    program.args(&command[1..]).arg("--help");
    assert!(run(program).status.success(), "{command:?}");
    let seconds = |name: &str| check.option(name).unwrap().strip_suffix('s').unwrap().parse::<u32>().unwrap();
    assert!(seconds("timeout") > 10, "the program itself waits for 10 seconds, and says what is wrong after that");
    assert!(seconds("interval") > seconds("timeout"));
    assert!(seconds("start-period") >= 30 && check.option("retries").is_some());
}
