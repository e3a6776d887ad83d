//! The unit for systemd: systemd itself reads it.

use std::process::{Command, Output};

use tempfile::TempDir;

use crate::program::{BINARY, run};
use crate::{pages, root, text};

/// Further exposed than this is not "OK" any more in systemd's own words.
const MOST_EXPOSED: f64 = 2.0;

/// The values of a name in the unit, in order.
fn values(name: &str) -> Vec<String> {
    let unit = text("config/syncserver.service");
    let lines = unit.lines().filter_map(|line| line.split_once('=')).filter(|(known, _)| *known == name);
    lines.map(|(_, value)| value.to_owned()).collect()
}

fn value(name: &str) -> String {
    let values = values(name);
    assert_eq!(values.len(), 1, "{name} in the unit: {values:?}");
    values[0].clone()
}

/// A folder with the unit in it, with this build in the place of the program that an operator installs.
fn installed() -> (TempDir, String) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("syncserver.service");
    let unit = text("config/syncserver.service").replace("ExecStart=syncserver ", &format!("ExecStart={BINARY} "));
    assert!(unit.contains(BINARY));
    std::fs::write(&path, unit).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

fn systemd(arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments);
    let is_there = Command::new("systemd-analyze").arg("--version").output().is_ok();
    assert!(is_there, "systemd-analyze is not installed: apt-get install --no-install-recommends systemd");
    run(command)
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    let (_folder, unit) = installed();
    let output = systemd(&["verify", &unit]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let about_it: Vec<_> = said.lines().filter(|line| line.contains("syncserver.service")).collect();
    assert!(about_it.is_empty(), "{about_it:#?}");
}

#[test]
fn systemd_finds_the_server_hardly_exposed() {
    let (_folder, unit) = installed();
    let output = systemd(&["security", "--offline=true", "--no-pager", &unit]);
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let level = said.split("Overall exposure level for syncserver.service: ").nth(1);
    let level = level.unwrap_or_else(|| panic!("{output:?}")).split(' ').next().unwrap();
    assert!(level.parse::<f64>().unwrap() <= MOST_EXPOSED, "{said}");
}

#[test]
fn the_unit_the_user_and_the_package_name_the_same_things() {
    let sysusers = text("config/syncserver.sysusers");
    let user: Vec<_> = sysusers.lines().find(|line| line.starts_with("u ")).unwrap().split(' ').collect();
    assert_eq!((value("User"), value("Group")), (user[1].to_owned(), user[1].to_owned()));
    let home = format!("/var/lib/{}", value("StateDirectory"));
    assert!(sysusers.lines().any(|line| line.ends_with(&format!(" {home}"))), "{sysusers}");
    let start = value("ExecStart");
    let settings = start.split("--config ").nth(1).unwrap();
    let manifest: toml::Table = text("syncserver/Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    assert_eq!(deb["conf-files"].as_array().unwrap(), &[toml::Value::from(settings)]);
    assert!(text("syncserver/deb/postinst").contains(&format!("chgrp {} ", user[1])));
    // The watchdog, and with it the readiness, are spoken of in the code; a stop is waited for longer than it takes.
    assert_eq!(value("Type"), "notify");
    assert!(value("TimeoutStopSec").parse::<u64>().unwrap() > 30);
}

#[test]
fn the_pages_name_the_settings_file_of_the_unit_and_no_other() {
    let start = value("ExecStart");
    let settings = start.split("--config ").nth(1).unwrap();
    let mut found = 0;
    for page in pages() {
        for after in text(&page).split("/etc/syncserver").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c)).unwrap_or(after.len());
            let path = format!("/etc/syncserver{}", &after[..end]);
            if path.ends_with(".toml") {
                assert_eq!(path, settings, "{page}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "only {found}");
}

#[test]
fn systemd_understands_the_user() {
    let folder = TempDir::new().unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    let mut command = Command::new("systemd-sysusers");
    command.args(["--dry-run", &format!("--root={}", folder.path().display())]);
    command.arg(root().join("config/syncserver.sysusers"));
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("user 'syncserver' (Firefox Sync server)"), "{said}");
}
