//! The names of settings, wherever they are written.

use syncserver::settings::{self, SettingsError};

use crate::{compose_files, files, pages, text};

/// What a line says that shows a wrong name on purpose.
const WRONG_ON_PURPOSE: &str = "there is no setting";

/// Whether the server knows a variable of the environment.
pub(crate) fn is_setting(name: &str) -> bool {
    // Many settings cannot be 1, and say so; an unknown one is not looked at so far.
    match settings::load(None, [(name, "1")]) {
        Err(SettingsError::Unknown { .. }) => false,
        Err(_) => true,
        Ok(settings) => !settings.warnings.iter().any(|warning| warning.contains("is no setting of this server")),
    }
}

/// The names in a text that begin like one of ours.
fn names(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.contains(WRONG_ON_PURPOSE));
    let words = lines.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    // Without more behind it, it is the prefix that is spoken of.
    words.filter(|word| word.starts_with("SYNC_") && *word != "SYNC_").collect()
}

#[test]
fn a_name_that_is_no_setting_is_found() {
    assert_eq!(
        names("${SYNC_PORT:-1} `SYNC_…` RSYNC_X SYNC_A__B_FILE=/x\nthere is no setting SYNC_PROT"),
        ["SYNC_PORT", "SYNC_A__B_FILE"]
    );
    for known in ["SYNC_PORT", "SYNC_MASTER_SECRET_FILE", "SYNC_SYNCSTORAGE__DATABASE_URL", "SENTRY_DSN"] {
        assert!(is_setting(known), "{known}");
    }
    for unknown in ["SYNC_PROT", "SYNC_GATEWAY_URL", "SYNC_PORT_FILE", "SYNC_DATABASE__URL"] {
        assert!(!is_setting(unknown), "{unknown}");
    }
}

#[test]
fn every_name_of_a_setting_is_one_that_the_server_knows() {
    let mut places = pages();
    places.extend(compose_files());
    places.extend(files("config", ""));
    places.push("Dockerfile".to_owned());
    let mut found = 0;
    for place in places {
        for name in names(&text(&place)) {
            assert!(is_setting(name), "{place}: there is no setting {name}");
            found += 1;
        }
    }
    assert!(found > 50, "only {found} names");
}
