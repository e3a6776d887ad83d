//! The description of the API at `/api-doc/openapi.json`, held against the route table. `tools/api-check` holds the
//! answers of a running server against it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use testclient::{Request, Response};

use crate::check::Check;
use crate::server::TestServer;
use crate::tokenserver::Tokenserver;

const PATH: &str = "/api-doc/openapi.json";

const WEBHOOKS: [(&str, &str); 3] = [
    ("SYNC_TOKENSERVER__FXA_WEBHOOK_ENABLED", "true"),
    ("SYNC_TOKENSERVER__FXA_WEBHOOK_SET_ISSUER", "https://accounts.example.com"),
    ("SYNC_TOKENSERVER__FXA_WEBHOOK_SET_CLIENT_ID", "this-server"),
];

/// Paths of the route table that the description does not list, since they are other names for one that it lists.
const OTHER_NAMES: [&str; 7] =
    ["", "/1.5/{uid}/", "/1.5/{uid}/storage/", "/token", "/token/", "/tokenserver", "/tokenserver/"];

async fn send(server: &TestServer, request: &Request) -> Response {
    server.connect().await.send(request).await.unwrap()
}

async fn document(server: &TestServer) -> Value {
    send(server, &Request::get(PATH)).await.has(200).json()
}

/// The paths of a description, each with its methods in capitals.
fn operations(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        let members = item.as_object().unwrap().keys();
        members.filter(|name| *name != "parameters").map(|name| name.to_ascii_uppercase()).collect()
    };
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test]
async fn the_description_is_this_servers() {
    let server = TestServer::start_with(&[
        ("SYNC_PUBLIC_URL", "https://example.com/sync"),
        ("SYNC_SYNCSTORAGE__LIMITS__MAX_POST_RECORDS", "7"),
        ("SYNC_SYNCSTORAGE__LIMITS__COLLECTIONS", r#"{"tabs":{"max_post_bytes":2622000}}"#),
        ("SYNC_TOKENSERVER__TOKEN_DURATION", "1234"),
    ]);
    for path in [PATH, "/sync/api-doc/openapi.json"] {
        let answer = send(&server, &Request::get(path).header("Origin", "https://app.example.com")).await.has(200);
        assert_eq!(answer.must_have("Content-Type"), "application/json");
        assert_eq!(answer.must_have("Access-Control-Allow-Origin"), "https://app.example.com");
        assert!(!answer.text().contains("{{"), "{}", answer.text());
        let document = answer.json();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(document["servers"], json!([{ "url": "https://example.com/sync" }]));
        let components = &document["components"];
        assert_eq!(components["schemas"]["Limits"]["properties"]["max_post_records"]["const"], 7);
        assert_eq!(components["parameters"]["Records"]["schema"]["maximum"], 7);
        assert_eq!(components["parameters"]["Bytes"]["schema"]["maximum"], 2_622_000);
        assert_eq!(components["schemas"]["Token"]["properties"]["duration"]["maximum"], 1234);
    }
}

#[tokio::test]
async fn the_description_and_the_configuration_name_the_same_limits() {
    let server = TestServer::start();
    let document = document(&server).await;
    let described = document["components"]["schemas"]["Limits"]["properties"].as_object().unwrap();
    let described: BTreeMap<_, _> = described.iter().map(|(name, schema)| (name, &schema["const"])).collect();
    let told = server.user(1).await.get("/info/configuration").await.has(200).json();
    assert_eq!(described, told.as_object().unwrap().iter().collect());
}

#[tokio::test]
async fn only_what_is_on_is_described() {
    let paths = async |settings: &[(&str, &str)]| operations(&document(&TestServer::start_with(settings)).await);
    let (storage, token, events) = ("/1.5/{uid}/storage", "/1.0/sync/1.5", "/1.0/webhooks/fxa/events");
    for (settings, on) in [
        (vec![], [true, true, false]),
        (WEBHOOKS.to_vec(), [true, true, true]),
        (vec![("SYNC_TOKENSERVER__ENABLED", "false")], [true, false, false]),
        (vec![("SYNC_SYNCSTORAGE__ENABLED", "false")], [false, true, false]),
    ] {
        let described = paths(&settings).await;
        assert_eq!([storage, token, events].map(|path| described.contains_key(path)), on, "{settings:?}");
        assert!(described.contains_key("/__heartbeat__"), "{settings:?}");
    }
}

#[tokio::test]
async fn each_path_of_the_description_takes_the_methods_that_it_names_and_says_so_of_others() {
    let server = TestServer::start_with(&WEBHOOKS);
    let document = document(&server).await;
    let described = operations(&document);
    assert_eq!(described.values().map(BTreeSet::len).sum::<usize>(), 20);
    for (path, methods) in described {
        let target = path.replace("{uid}", "1").replace("{collection}", "bookmarks").replace("{id}", "a");
        let mut allowed = methods.clone();
        // The tokenserver does not take HEAD.
        if methods.contains("GET") && !path.starts_with("/1.0") {
            allowed.insert("HEAD".to_owned());
        }
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "TRACE"] {
            let answer = send(&server, &Request::new(method, &target)).await;
            assert_ne!(answer.status, 404, "{method} {path}: {answer:?}");
            assert_eq!(answer.status == 405, !allowed.contains(method), "{method} {path}: {answer:?}");
            if answer.status == 405 {
                let named = answer.must_have("Allow").split(", ").map(ToOwned::to_owned).collect::<BTreeSet<_>>();
                assert_eq!(named, allowed, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn each_path_of_the_route_table_is_described() {
    let described = operations(&document(&TestServer::start_with(&WEBHOOKS)).await);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/routes.rs");
    let source = std::fs::read_to_string(file).unwrap();
    let function = |name: &str| source.split_once(&format!("fn {name}(")).unwrap().1.split("\n}\n").next().unwrap();
    let (below, storage) = (function("below"), function("storage"));
    let mut routes = BTreeSet::new();
    for (source, base) in [(below, ""), (storage, "/1.5/{uid}")] {
        // Every text in the code that begins as a path does, or that is empty: the path itself.
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for text in code.split('"').skip(1).step_by(2).filter(|text| text.is_empty() || text.starts_with('/')) {
            routes.insert(format!("{base}{}", text.replace(":.*}", "}")));
        }
    }
    assert!(routes.len() > 20, "{routes:?}");
    // What other names are made of, what only answers while the storage is off, and what fails on purpose.
    for made_of in ["/1.5/{uid:[0-9]+}", "/1.5/{tail}", "/1.5/{uid}/", "/__error__"] {
        routes.remove(made_of);
    }
    for route in routes.iter().filter(|route| !OTHER_NAMES.contains(&route.as_str())) {
        assert!(described.contains_key(route), "{route} is not in the description of the API (src/web/api_doc)");
    }
    for path in described.keys().filter(|path| !path.starts_with("/1.0/sync")) {
        assert!(routes.contains(path), "{path} is described, and not in the route table");
    }
}

#[tokio::test]
async fn every_reference_leads_to_something_and_everything_there_is_referred_to() {
    let document = document(&TestServer::start_with(&WEBHOOKS)).await;
    let mut referred = BTreeSet::new();
    references(&document, &mut referred);
    for reference in &referred {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for (kind, members) in document["components"].as_object().unwrap() {
        for name in members.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            assert!(referred.contains(&format!("#/components/{kind}/{name}")), "{kind}/{name} is not used");
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_description_is_the_same_whoever_asks() {
    let tokens = Tokenserver::start();
    let plain = tokens.send(&Request::get(PATH)).await.has(200);
    let other = Request::get(PATH).header("Host", "other.example.com").header("X-Forwarded-Proto", "https");
    assert_eq!(tokens.send(&other).await.has(200).text(), plain.text());
}
