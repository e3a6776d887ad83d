//! The rules of compose files, as far as these files go: <https://github.com/compose-spec/compose-spec>.
//!
//! A key that is not listed here may be a good one; add it, with its form.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Whether a value has the form that a key wants.
type Form = fn(&Value) -> bool;

const SERVICE: [(&str, Form); 18] = [
    ("build", Value::is_object),
    ("cap_drop", is_texts),
    ("command", is_texts),
    ("depends_on", Value::is_object),
    ("environment", Value::is_object),
    ("healthcheck", Value::is_object),
    ("image", Value::is_string),
    ("networks", is_texts),
    ("ports", is_texts),
    ("read_only", Value::is_boolean),
    ("restart", Value::is_string),
    ("secrets", is_texts),
    ("security_opt", is_texts),
    ("shm_size", Value::is_string),
    ("stop_grace_period", is_duration),
    ("tmpfs", is_texts),
    ("user", Value::is_string),
    ("volumes", is_texts),
];

const HEALTHCHECK: [(&str, Form); 5] = [
    ("interval", is_duration),
    ("retries", Value::is_u64),
    ("start_period", is_duration),
    ("test", is_check),
    ("timeout", is_duration),
];

const BUILD: [(&str, Form); 3] =
    [("args", Value::is_object), ("context", Value::is_string), ("dockerfile", Value::is_string)];

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|texts| texts.iter().all(Value::is_string))
}

/// Such as `30s` or `1m30s`.
fn is_duration(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let units = text.split(|c: char| c.is_ascii_digit()).filter(|unit| !unit.is_empty());
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
        && units.into_iter().all(|unit| matches!(unit, "us" | "ms" | "s" | "m" | "h"))
}

fn is_check(value: &Value) -> bool {
    let Some(words) = value.as_array().filter(|_| is_texts(value)) else { return false };
    match words.first().and_then(Value::as_str) {
        Some("CMD") => words.len() > 1,
        Some("CMD-SHELL") => words.len() == 2,
        _ => false,
    }
}

/// `[[address:]port:]port`, the first port being the host's.
fn is_port(text: &str) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    match text.rsplit_once(':') {
        None => is_number(text),
        Some((host, container)) => {
            let host = host.rsplit_once(':').map_or(Some(host), |(address, port)| {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                address.parse::<std::net::IpAddr>().is_ok().then_some(port)
            });
            host.is_some_and(is_number) && is_number(container)
        }
    }
}

/// What is wrong with a compose file whose variables have been filled in; empty if it is good.
pub(crate) fn complaints(file: &Value) -> Vec<String> {
    let mut check = Check { file, complaints: Vec::new(), used: BTreeSet::new() };
    check.run();
    check.complaints
}

struct Check<'a> {
    file: &'a Value,
    complaints: Vec<String>,
    /// The networks, volumes and secrets that a service names: `volumes.data`.
    used: BTreeSet<String>,
}

impl<'a> Check<'a> {
    fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    /// The entries of a table; none where it is absent.
    fn table(&self, name: &str) -> Map<String, Value> {
        self.file[name].as_object().cloned().unwrap_or_default()
    }

    fn run(&mut self) {
        for (key, value) in self.file.as_object().unwrap() {
            let good = match key.as_str() {
                "name" => value.is_string(),
                "services" | "networks" | "volumes" | "secrets" => value.is_object(),
                _ => false,
            };
            if !good {
                self.complain(format!("{key} at the top"));
            }
        }
        for (name, service) in self.table("services") {
            self.service(&name, &service);
        }
        for kind in ["networks", "volumes", "secrets"] {
            for (name, value) in self.table(kind) {
                let of = format!("{kind}.{name}");
                if !self.used.contains(&of) {
                    self.complain(format!("{of} is not used"));
                }
                let known: &[&str] = match kind {
                    "networks" => &["internal"],
                    "secrets" => &["file", "environment"],
                    _ => &[],
                };
                if value.as_object().is_some_and(|value| value.keys().any(|key| !known.contains(&key.as_str()))) {
                    self.complain(format!("{of}: {value}"));
                }
            }
        }
    }

    /// The keys of a table, each of which has to be listed and of its form.
    fn keys(&mut self, of: &str, table: &Value, known: &[(&str, Form)]) {
        for (key, value) in table.as_object().into_iter().flatten() {
            match known.iter().find(|(name, _)| name == key) {
                None => self.complain(format!("{of} has {key}")),
                Some((_, form)) if !form(value) => self.complain(format!("{of}: {key} cannot be {value}")),
                Some(_) => {}
            }
        }
    }

    fn service(&mut self, name: &str, service: &Value) {
        self.keys(name, service, &SERVICE);
        self.keys(&format!("{name}.healthcheck"), &service["healthcheck"], &HEALTHCHECK);
        self.keys(&format!("{name}.build"), &service["build"], &BUILD);
        if service["image"].is_string() == service["build"].is_object() {
            self.complain(format!("{name} needs an image or a build, and not both"));
        }
        for values in [&service["environment"], &service["build"]["args"]] {
            // A bare `true` or `1` is read differently from version to version.
            for (variable, value) in values.as_object().into_iter().flatten().filter(|(_, value)| !value.is_string()) {
                self.complain(format!("{name}: {variable} is no text but {value}"));
            }
        }
        for port in texts(&service["ports"]).filter(|port| !is_port(port)) {
            self.complain(format!("{name}: the port {port}"));
        }
        if service["restart"]
            .as_str()
            .is_some_and(|restart| !matches!(restart, "no" | "always" | "on-failure" | "unless-stopped"))
        {
            self.complain(format!("{name}: restart {}", service["restart"]));
        }
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            self.depends_on(name, other, how);
        }
        for kind in ["networks", "volumes", "secrets"] {
            for text in texts(&service[kind]) {
                let of = text.split(':').next().unwrap_or_default();
                let is_path = kind == "volumes" && of.starts_with(['.', '/']);
                if kind == "volumes" && text.split(':').count() < 2 {
                    self.complain(format!("{name}: the volume {text} is nowhere"));
                } else if !is_path {
                    self.used.insert(format!("{kind}.{of}"));
                    if !self.table(kind).contains_key(of) && (kind, of) != ("networks", "default") {
                        self.complain(format!("{name}: {of} is not in {kind}"));
                    }
                }
            }
        }
    }

    fn depends_on(&mut self, name: &str, other: &str, how: &Value) {
        let Some(service) = self.file["services"].get(other) else {
            return self.complain(format!("{name} depends on {other}, which is no service"));
        };
        match how["condition"].as_str() {
            Some("service_started" | "service_completed_successfully") => {}
            Some("service_healthy") if !service["healthcheck"].is_null() => {}
            condition => self.complain(format!("{name} depends on {other} with the condition {condition:?}")),
        }
    }
}

/// The texts in a list.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
name: x
services:
  one:
    build: {context: .}
    depends_on: {two: {condition: service_healthy}}
    ports: ['127.0.0.1:80:8000']
    volumes: ['data:/data']
    networks: [default, inner]
    stop_grace_period: 1m30s
  two:
    image: two:1
    environment: {A: '1'}
    healthcheck: {test: [CMD, ask], interval: 5s, retries: 3}
    networks: [inner]
volumes: {data: }
networks: {inner: {internal: true}}
";

    #[test]
    fn what_breaks_a_rule_is_found_and_nothing_else() {
        let complaints_of = |text: &str| complaints(&serde_saphyr::from_str(text).unwrap());
        assert_eq!(complaints_of(GOOD), [""; 0]);
        for (right, wrong, told) in [
            ("name: x", "version: '3'", "version at the top"),
            ("image: two:1", "image: two:1\n    imgae: x", "two has imgae"),
            ("image: two:1", "restart: always", "two needs an image"),
            ("image: two:1", "image: two:1\n    restart: sometimes", "two: restart"),
            ("interval: 5s", "interval: 5", "interval cannot be 5"),
            ("interval: 5s", "intervall: 5s", "has intervall"),
            ("1m30s", "1d", "stop_grace_period cannot be"),
            ("retries: 3", "retries: three", "retries cannot be"),
            ("[CMD, ask]", "[ask]", "test cannot be"),
            ("{A: '1'}", "{A: true}", "A is no text"),
            ("127.0.0.1:80:8000", "localhost:80:8000", "the port localhost"),
            ("127.0.0.1:80:8000", "80:80000", "the port 80:80000"),
            ("service_healthy", "service_helathy", "with the condition"),
            ("healthcheck: {test", "x-check: {test", "one depends on two with the condition"),
            ("depends_on: {two", "depends_on: {tow", "which is no service"),
            ("'data:/data'", "'date:/data'", "date is not in volumes"),
            ("'data:/data'", "/data", "the volume /data is nowhere"),
            ("volumes: {data: }", "volumes: {data: , more: }", "volumes.more is not used"),
            ("[default, inner]", "[default, outer]", "outer is not in networks"),
            ("{internal: true}", "{interal: true}", "networks.inner"),
        ] {
            assert!(GOOD.contains(right), "{right}");
            let found = complaints_of(&GOOD.replace(right, wrong));
            assert!(found.iter().any(|complaint| complaint.contains(told)), "{wrong}: {found:?}");
        }
    }
}
