//! What goes into the Debian package.

use std::process::Command;

use crate::program::run;
use crate::{root, text};

/// Where each file of the package comes from, and where it goes.
fn assets() -> Vec<(String, String)> {
    let manifest: toml::Table = text("syncserver/Cargo.toml").parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap().clone();
    let word = |asset: &toml::Value, at: usize| asset[at].as_str().unwrap().to_owned();
    assets.iter().map(|asset| (word(asset, 0), word(asset, 1))).collect()
}

#[test]
fn every_file_of_the_package_is_there_or_made_by_the_makefile() {
    let makefile = text("Makefile");
    for (source, _) in assets() {
        if source.starts_with("target/release/") {
            continue;
        }
        let source = source.strip_prefix("../").unwrap();
        let made = source.starts_with("target/deb/") && makefile.contains(source.trim_end_matches("/*.1"));
        assert!(made || root().join(source).is_file(), "{source}");
    }
}

/// Commands that an operator types are not told of the folder by systemd, as the server is.
#[test]
fn the_settings_of_the_package_name_the_folder_of_the_unit() {
    let (before, after) = ("#data_dir =  # example: ", "data_dir = ");
    assert!(text("Makefile").contains(&format!("sed 's|^{before}|{after}|' config/syncserver.toml > target/deb/")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("syncserver.toml");
    std::fs::write(&file, text("config/syncserver.toml").replace(before, after)).unwrap();
    let settings = syncserver::settings::load(Some(&file), [("STATE_DIRECTORY", "/elsewhere")]).unwrap();
    assert_eq!(settings.data_dir.to_str(), Some("/var/lib/syncserver"));
    assert!(text("config/syncserver.service").contains("\nStateDirectory=syncserver\n"));
}

#[test]
fn the_script_of_the_package_is_one_that_a_shell_understands() {
    let mut shell = Command::new("sh");
    shell.arg("-n").arg(root().join("syncserver/deb/postinst"));
    let output = run(shell);
    assert!(output.status.success(), "{output:?}");
    assert!(text("syncserver/deb/postinst").contains("#DEBHELPER#"), "the unit would not be enabled");
}
