//! Nothing that an operator writes makes loading panic.

use proptest::prelude::*;

use super::super::reference::settings;
use super::{from_environment, from_file};

/// The name of some setting in the environment, or one that is like it.
fn variable() -> impl Strategy<Value = String> {
    let known = (0..settings().len()).prop_map(|of| settings()[of].variable.clone());
    prop_oneof![4 => known, 1 => "SYNC_[A-Z_]{0,20}", 1 => "\\PC{0,10}"]
}

/// Any text, and text that is likely to get past the first check. No paths: reading them is not what is tested.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC*",
        "[0-9]{0,25}",
        "-?[0-9]{0,3}\\.?[0-9]{0,3}(e-?[0-9]{1,3})?",
        "(http|https)://[a-z\\[\\]:@.0-9?#/ü%]{0,30}",
        "[0-9a-f.:]{0,20}/[0-9]{0,4}",
        "\\[[\\[\\]\"a,0-9 ]{0,10}\\]",
        "\\{\"[a-z]{0,4}\": ?[{}0-9a-z\":]{0,30}\\}",
        Just("true".to_owned()),
    ]
}

/// Names in a settings file with values of any type.
fn assignment() -> impl Strategy<Value = String> {
    let known = (0..settings().len()).prop_map(|of| settings()[of].path.clone());
    let name = prop_oneof![5 => known, 1 => "[a-z_.]{1,20}"];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        value().prop_map(|text| format!("'''{}'''", text.replace('\'', ""))),
        Just("[]".to_owned()),
        Just("['a', 1, {}]".to_owned()),
        Just("{ a = { max_post_bytes = 1 }, b = 1 }".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("nan".to_owned()),
    ];
    (name, value).prop_map(|(name, value)| format!("{name} = {value}\n"))
}

proptest! {
    #[test]
    fn no_environment_does(variables in prop::collection::vec((variable(), value()), 0..6)) {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let _ = from_environment(&variables);
    }

    #[test]
    fn no_text_does(text in "\\PC*|[a-z_ =\\[\\]{}'\"0-9.,\n#-]*") {
        let _ = from_file(&text, &[]);
    }

    #[test]
    fn no_file_of_settings_does(assignments in prop::collection::vec(assignment(), 0..6)) {
        let _ = from_file(&assignments.concat(), &[]);
    }
}
