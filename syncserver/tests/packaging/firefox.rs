//! The examples for Firefox. That a real one heeds them is tested by tools/firefox-e2e/preferences.py.

use crate::text;

const PREFERENCE: &str = "identity.sync.tokenserver.uri";
const URL: &str = "https://sync.example.com/1.0/sync/1.5";

/// The calls in a file of preferences: the function, and its arguments.
fn calls(file: &str) -> Vec<(String, Vec<serde_json::Value>)> {
    let text = text(file);
    // The first line of a .cfg is not read at all; here it is a comment.
    assert!(text.starts_with("//"), "{file}");
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty());
    code.map(|line| {
        let (function, arguments) = line.strip_suffix(");").and_then(|line| line.split_once('(')).unwrap();
        (function.to_owned(), serde_json::from_str(&format!("[{arguments}]")).unwrap())
    })
    .collect()
}

#[test]
fn the_examples_for_firefox_name_the_url_that_the_server_has() {
    for (file, function) in [("config/user.js", "user_pref"), ("config/firefox.cfg", "lockPref")] {
        assert_eq!(calls(file), [(function.to_owned(), vec![PREFERENCE.into(), URL.into()])], "{file}");
    }
    assert_eq!(
        calls("config/firefox-autoconfig.js"),
        [
            ("pref".to_owned(), vec!["general.config.filename".into(), "firefox.cfg".into()]),
            ("pref".to_owned(), vec!["general.config.obscure_value".into(), 0.into()]),
        ]
    );
    assert!(text("docs/src/connecting.md").contains(URL));
}
