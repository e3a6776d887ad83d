//! The compose files of the project.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use syncserver::settings;

use crate::compose_schema::{complaints, texts};
use crate::image::{environment, image};
use crate::names::is_setting;
use crate::program::{BINARY, bare, run};
use crate::{compose_files, root, text};

/// The service that is ours, in each file.
const SERVER: &str = "server";

/// What the files say to put into `.env`.
const SECRETS: [(&str, &str); 2] = [
    ("SYNC_MASTER_SECRET", "a0Vt5yWr2pQx8sNf1uHc4kLz7mBd3gJe6wXi9oTq/+A="),
    ("DATABASE_PASSWORD", "3f9a0c5d7e1b2a4c6d8e0f1a2b3c4d5e6f708192a3b4c5d6"),
];

/// Fills in the variables of a text as compose does; an error names one that has to be set and is not.
fn fill_in(text: &str, variables: &BTreeMap<&str, &str>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            filled.push('$');
            rest = after;
            continue;
        }
        let (inside, after) = after.strip_prefix('{').and_then(|after| after.split_once('}')).unwrap();
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let (name, otherwise) = inside.split_at(end);
        let value = variables.get(name).copied().filter(|value| !value.is_empty());
        match (value, otherwise.get(..2)) {
            (Some(value), _) => filled.push_str(value),
            (None, Some(":-")) => filled.push_str(&otherwise[2..]),
            (None, Some(":?")) => return Err(format!("{name}: {}", &otherwise[2..])),
            _ => panic!("{inside:?}: say what is to be done where it is not set"),
        }
        rest = after;
    }
    Ok(filled + rest)
}

/// The same in each text of a value.
fn fill_in_all(value: &mut Value, variables: &BTreeMap<&str, &str>) -> Result<(), String> {
    match value {
        Value::String(text) => *text = fill_in(text, variables)?,
        Value::Array(values) => values.iter_mut().try_for_each(|value| fill_in_all(value, variables))?,
        Value::Object(values) => values.values_mut().try_for_each(|value| fill_in_all(value, variables))?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// A compose file with its variables filled in.
fn compose(file: &str, variables: &[(&str, &str)]) -> Result<Value, String> {
    let mut compose: Value = serde_saphyr::from_str(&text(file)).map_err(|error| format!("{file}: {error}"))?;
    fill_in_all(&mut compose, &variables.iter().copied().collect())?;
    Ok(compose)
}

/// The environment of the server's container: what the image gives it, and the compose file over that.
pub(crate) fn environment_of(file: &str, variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let compose = compose(file, variables).unwrap();
    let of_file = compose["services"][SERVER]["environment"].as_object().unwrap().iter();
    let of_file = of_file.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    environment().into_iter().chain(of_file).collect()
}

fn each() -> impl Iterator<Item = (String, Value)> {
    compose_files().into_iter().map(|file| {
        let compose = compose(&file, &SECRETS).unwrap();
        (file, compose)
    })
}

#[test]
fn variables_are_filled_in_as_compose_does() {
    let variables = BTreeMap::from([("A", "1"), ("EMPTY", "")]);
    let filled = |text: &str| fill_in(text, &variables);
    assert_eq!(filled("${A} ${A:?x} ${B:-2:3} ${EMPTY:-4} $$A").unwrap(), "1 1 2:3 4 $A");
    assert_eq!(filled("x ${B:?why}").unwrap_err(), "B: why");
}

#[test]
fn there_is_a_file_for_each_kind_of_database() {
    assert_eq!(compose_files(), ["mysql", "postgres", "sqlite"].map(|kind| format!("docker-compose.{kind}.yml")));
    // The names of the projects keep the volumes of one from being taken for those of another.
    for (file, compose) in each() {
        let kind = file.split('.').nth(1).unwrap();
        assert_eq!(compose["name"].as_str().unwrap(), format!("syncserver-{kind}"));
    }
}

#[test]
fn the_files_keep_to_the_rules_of_compose() {
    for (file, compose) in each() {
        assert_eq!(complaints(&compose), [""; 0], "{file}");
    }
}

#[test]
fn the_server_is_built_from_this_folder_with_arguments_that_the_build_takes() {
    let build = &image()[1];
    let taken: Vec<_> = build.all("ARG").into_iter().map(|arg| arg.rest.split('=').next().unwrap()).collect();
    for (file, compose) in each() {
        let of = &compose["services"][SERVER]["build"];
        assert!(root().join(of["context"].as_str().unwrap()).join("Dockerfile").exists(), "{file}");
        for (argument, _) in of["args"].as_object().unwrap() {
            assert!(taken.contains(&argument.as_str()), "{file}: the build takes no {argument}");
        }
    }
}

#[test]
fn no_container_may_do_more_than_it_has_to() {
    for (file, compose) in each() {
        for (name, service) in compose["services"].as_object().unwrap() {
            let at = format!("{file}: {name}");
            assert!(texts(&service["cap_drop"]).eq(["ALL"]), "{at}");
            assert!(texts(&service["security_opt"]).eq(["no-new-privileges:true"]), "{at}");
            assert_eq!(service["restart"], "unless-stopped", "{at}");
            if name == SERVER {
                // Its user is the image's.
                assert_eq!((&service["read_only"], &service["user"]), (&Value::Bool(true), &Value::Null), "{at}");
                let folders: Vec<_> = texts(&service["volumes"]).map(|v| v.split_once(':').unwrap().1).collect();
                assert_eq!(folders, [image()[2].one("VOLUME").rest.as_str()], "{at}: all that it writes to");
                let ports: Vec<_> = texts(&service["ports"]).collect();
                assert_eq!(ports, ["127.0.0.1:8000:8000"], "{at}: for this machine, unless one says otherwise");
            } else {
                assert!(!matches!(service["user"].as_str(), None | Some("root" | "0")), "{at}");
                assert!(service["ports"].is_null(), "{at}: nobody but the server has to reach it");
                for network in texts(&service["networks"]) {
                    assert_eq!(compose["networks"][network]["internal"], true, "{at}: {network}");
                }
                assert!(texts(&service["networks"]).count() > 0, "{at}: else it would be in the default network");
            }
        }
    }
}

#[test]
fn the_secrets_of_a_database_server_have_to_be_set_and_stand_in_no_file() {
    for file in compose_files() {
        let missing = compose(&file, &[]);
        if file.contains("sqlite") {
            missing.unwrap();
            continue;
        }
        missing.unwrap_err();
        for (secret, _) in SECRETS {
            let others: Vec<_> = SECRETS.into_iter().filter(|(name, _)| *name != secret).collect();
            assert!(compose(&file, &others).unwrap_err().starts_with(secret), "{file}");
            // The file says how to make it.
            assert!(text(&file).contains(&format!("echo \"{secret}=$(openssl rand")), "{file}");
        }
    }
}

#[test]
fn the_servers_variables_are_settings_and_its_database_is_the_one_beside_it() {
    for (file, compose) in each() {
        for (variable, _) in compose["services"][SERVER]["environment"].as_object().unwrap() {
            assert!(is_setting(variable), "{file}: there is no setting {variable}");
        }
        let settings = settings::load(None, environment_of(&file, &SECRETS)).unwrap();
        assert_eq!(settings.warnings, [""; 0], "{file}");
        let database = &compose["services"]["database"];
        let Some(of_database) = database["environment"].as_object() else { continue };
        let value = |ends: &[&str]| {
            let is_it = |name: &str| ends.iter().any(|end| name.ends_with(end)) && !name.contains("_ROOT_");
            let found = of_database.iter().find(|(name, _)| is_it(name));
            found.unwrap_or_else(|| panic!("{file}: none of {ends:?}")).1.as_str().unwrap()
        };
        let scheme = file.split('.').nth(1).unwrap();
        let url = settings.syncstorage.database.url.expose();
        let login = format!("{}:{}", value(&["_USER"]), value(&["_PASSWORD"]));
        let expected = format!("{scheme}://{login}@database/{}?", value(&["_DB", "_DATABASE"]));
        assert!(url.starts_with(&expected), "{file}: {url}, {expected}");
        assert_eq!(settings.tokenserver.database.url.expose(), url, "{file}");
    }
}

#[test]
fn every_variable_that_the_page_on_docker_lists_is_taken_by_each_file() {
    let page = text("docs/src/docker.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let is_variable = |name: &&str| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let listed: Vec<_> = rows.map(|(name, _)| name).filter(is_variable).collect();
    assert!(listed.contains(&"PUBLISH") && listed.len() > 4, "{listed:?}");
    for file in compose_files() {
        for name in &listed {
            assert!(text(&file).contains(&format!("${{{name}:")), "{file} does not take {name}");
        }
    }
}

#[test]
fn the_program_finds_the_settings_of_each_file_good() {
    for file in compose_files() {
        let mut command = bare(Command::new(BINARY));
        command.arg("check-config").envs(environment_of(&file, &SECRETS));
        let output = run(command);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && told.is_empty(), "{file}: {told}");
    }
}
