//! Traefik's file: that it is what Traefik reads, as far as its form goes.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::example::Example;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dynamic {
    http: Http,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Http {
    routers: BTreeMap<String, Router>,
    services: BTreeMap<String, Service>,
    servers_transports: BTreeMap<String, Transport>,
}

/// Without `middlewares`: none of them leaves a path as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Router {
    rule: String,
    entry_points: Vec<String>,
    tls: BTreeMap<String, String>,
    service: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Service {
    load_balancer: LoadBalancer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LoadBalancer {
    pass_host_header: bool,
    servers_transport: String,
    servers: Vec<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Transport {
    forwarding_timeouts: BTreeMap<String, String>,
}

#[test]
fn traefik_sends_the_host_to_the_server_and_changes_no_path() {
    let file: Dynamic = serde_saphyr::from_str(&Example::read("traefik.yml").text).unwrap();
    let router = &file.http.routers["syncserver"];
    assert_eq!(router.rule, "Host(`sync.example.com`)");
    assert_eq!((router.entry_points.as_slice(), router.tls.len()), (["websecure".to_owned()].as_slice(), 1));
    let balancer = &file.http.services[&router.service].load_balancer;
    assert!(balancer.pass_host_header);
    assert_eq!(balancer.servers[0]["url"], "http://127.0.0.1:8000");
    let timeouts = &file.http.servers_transports[&balancer.servers_transport].forwarding_timeouts;
    let names: Vec<_> = timeouts.keys().map(String::as_str).collect();
    assert_eq!(names, ["dialTimeout", "idleConnTimeout", "responseHeaderTimeout"]);
}
