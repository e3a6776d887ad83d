//! The documentation, the dashboard and the alerts speak of metrics that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::exposition::Exposition;
use crate::metrics::after_some_traffic;
use crate::store::Backend;

/// Labels that Prometheus itself adds.
const OF_PROMETHEUS: [&str; 3] = ["instance", "job", "le"];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The metrics of an expression with the labels by which each is selected, and the labels by which anything is grouped.
#[derive(Debug, Default, PartialEq)]
struct Used {
    metrics: BTreeMap<String, BTreeSet<String>>,
    grouped_by: BTreeSet<String>,
}

fn used(expression: &str) -> Used {
    let mut used = Used::default();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        let list = |open: char, close: char| {
            let inner = after.trim_start().strip_prefix(open).and_then(|list| list.split_once(close));
            inner.map_or(Vec::new(), |(list, _)| list.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>())
        };
        if word == "by" {
            used.grouped_by.extend(list('(', ')').into_iter().filter(|label| !label.is_empty()));
        } else if word.starts_with("syncserver_") || word.starts_with("process_") || word == "up" {
            let labels = list('{', '}').into_iter().filter(|label| !label.is_empty());
            let names = labels.map(|label| label.split(['=', '!']).next().unwrap_or_default().to_owned());
            used.metrics.entry(word.to_owned()).or_default().extend(names);
        }
        // What is in braces is no expression.
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner.split_once('}').map_or("", |(_, rest)| rest);
        }
    }
    used
}

fn check(expression: &str, told: &Exposition) {
    let used = used(expression);
    assert!(!used.metrics.is_empty(), "no metric in {expression}");
    let mut known = BTreeSet::from(OF_PROMETHEUS);
    for (name, labels) in &used.metrics {
        let is_sqlites = name.starts_with("syncserver_sqlite_") && Backend::of_tests() != Backend::Sqlite;
        if name == "up" || is_sqlites {
            known.insert("database");
            continue;
        }
        assert!(told.names().contains(name.as_str()), "{name} is not told: {expression}");
        known.extend(told.labels(name));
        for label in labels {
            let has = told.labels(name).contains(label.as_str()) || OF_PROMETHEUS.contains(&label.as_str());
            assert!(has, "{name} has no label {label}: {expression}");
        }
    }
    for label in &used.grouped_by {
        assert!(known.contains(label.as_str()), "no metric has the label {label}: {expression}");
    }
}

#[test]
fn metrics_and_labels_are_found_in_expressions() {
    let found = used(
        "histogram_quantile(0.9, sum by (le, route) (rate(syncserver_x_bucket{instance=~\"a\",status!=\"b\"}[5m]))) > up",
    );
    let metrics = [
        ("syncserver_x_bucket".to_owned(), BTreeSet::from(["instance".to_owned(), "status".to_owned()])),
        ("up".to_owned(), BTreeSet::new()),
    ];
    assert_eq!(found, Used { metrics: metrics.into(), grouped_by: ["le".to_owned(), "route".to_owned()].into() });
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_that_there_are() {
    let (_tokens, told) = after_some_traffic().await;
    let dashboard: Value = serde_json::from_str(&file("config/grafana-dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let (mut places, mut graphs) = (BTreeSet::new(), 0);
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let at = &panel["gridPos"];
        assert!(places.insert((at["x"].as_u64().unwrap(), at["y"].as_u64().unwrap())), "two panels are at {at}");
        if panel["type"] == "row" {
            continue;
        }
        let targets = panel["targets"].as_array().unwrap();
        let references: BTreeSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
        assert_eq!(references.len(), targets.len(), "{}", panel["title"]);
        for target in targets {
            // What Grafana puts in.
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            check(&expression, &told);
            graphs += 1;
            // What a legend names is what the expression is grouped by.
            let grouped = used(&expression).grouped_by;
            for name in target["legendFormat"].as_str().unwrap().split("{{").skip(1) {
                let name = name.split("}}").next().unwrap();
                assert!(grouped.contains(name), "{{{{{name}}}}} of {expression}");
            }
        }
    }
    assert!(graphs > 30);
}

/// The expressions of the alerts. YAML folds those that take several lines.
fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&file("config/prometheus-alerts.yml")).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let text = |rule: &Value, name: &str| rule[name].as_str().unwrap().to_owned();
    rules.iter().map(|rule| (text(rule, "alert"), text(rule, "expr"))).collect()
}

#[tokio::test]
async fn the_alerts_ask_for_metrics_that_there_are() {
    let (_tokens, told) = after_some_traffic().await;
    let alerts = alerts();
    assert!(alerts.len() > 10);
    for (_, expression) in &alerts {
        check(expression, &told);
    }
    let names: BTreeSet<_> = alerts.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), alerts.len(), "two alerts have one name");
}

#[tokio::test]
async fn the_documentation_has_every_metric_with_its_labels_and_no_other() {
    let (_tokens, told) = after_some_traffic().await;
    let page = file("docs/src/metrics.md");
    let quoted =
        |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect() };
    let rows = page.lines().filter(|line| line.starts_with("| `syncserver_") || line.starts_with("| `process_"));
    let documented: BTreeMap<String, BTreeSet<String>> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            (quoted(cells[1]).pop_first().unwrap(), quoted(cells[2]))
        })
        .collect();
    let is_told = |name: &str| !name.starts_with("syncserver_sqlite_") || Backend::of_tests() == Backend::Sqlite;
    let expected: BTreeSet<&str> = documented.keys().map(String::as_str).filter(|name| is_told(name)).collect();
    let families = told.families();
    // A system may set no limit.
    let found = families.keys().copied().chain(["process_max_fds"]).collect();
    assert_eq!(expected, found);
    for (name, kind) in families {
        let sample = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        let labels: BTreeSet<String> = told.labels(&sample).into_iter().map(ToOwned::to_owned).collect();
        assert_eq!(documented[name], labels, "{name}");
    }
}

/// Runs promtool; what it says, and whether it was content.
fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;

    let spawned = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| {
        panic!("promtool cannot be run ({error}); it is in the package prometheus: apt-get install prometheus")
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn prometheus_own_tool_is_content_with_the_metrics_and_the_alerts() {
    let (_tokens, told) = after_some_traffic().await;
    let (content, said) = promtool(&["check", "metrics"], &told.text);
    assert!(content && said.is_empty(), "{said}");
    let (content, _) = promtool(&["check", "metrics"], "not_a metric\n");
    assert!(!content, "it says when something is wrong");
    for name in ["config/prometheus-alerts.yml", "config/prometheus.yml"] {
        let kind = if name.ends_with("alerts.yml") { "rules" } else { "config" };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let arguments = ["check", kind, path.to_str().unwrap()];
        let (content, said) = promtool(&arguments, "");
        assert!(content && said.contains("SUCCESS"), "{said}");
    }
}
