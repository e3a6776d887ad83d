//! The examples for reverse proxies in `config/`, each with the real proxy before the real server, with TLS: what a
//! client sends has to reach the server as it was signed, and what the server answers has to come back.
//!
//! The very files are used; only names of files and ports are put in. Traefik is not in Debian: its file is only read.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod checks;
mod example;
#[path = "../process/program.rs"]
#[expect(dead_code, reason = "the tests of the program use more of it")]
mod program;
mod proxy;
mod site;
mod traefik;

use example::Example;
use proxy::Proxy;
use site::Site;

/// Everything, at the root of the host and under a path.
async fn passes_everything_on(proxy: Proxy) {
    for prefix in ["", "/sync"] {
        let site = Site::start(proxy, prefix).await;
        checks::the_bare_url_answers(&site).await;
        checks::sign_in(&site).await;
        checks::what_a_client_does(&site).await;
        checks::paths_arrive_as_they_were_signed(&site).await;
        checks::queries_arrive_as_they_were_signed(&site).await;
        checks::bodies_of_the_advertised_size_arrive(&site).await;
        checks::compressed_bodies_arrive_and_come_back(&site).await;
        checks::conditions_arrive_and_their_answers_come_back(&site).await;
        checks::long_lists_come_back_whole(&site).await;
        checks::the_log_names_the_client_and_not_the_proxy(&site).await;
        checks::a_connection_is_good_for_many_requests(&site).await;
        checks::http2_if_the_proxy_speaks_it(&site).await;
    }
}

#[tokio::test]
async fn nginx_passes_everything_on() {
    passes_everything_on(Proxy::Nginx).await;
}

#[tokio::test]
async fn apache_passes_everything_on() {
    passes_everything_on(Proxy::Apache).await;
}

#[tokio::test]
async fn caddy_passes_everything_on() {
    passes_everything_on(Proxy::Caddy).await;
}

/// A proxy that keeps a connection for longer than the server does meets closed ones.
#[test]
fn connections_to_the_server_are_given_up_before_the_server_closes_them() {
    let ours = syncserver::settings::load(None, [("", ""); 0]).unwrap().actix_keep_alive.as_secs();
    for (file, before) in [
        ("nginx.conf", "keepalive_timeout "),
        ("apache.conf", "ttl="),
        ("Caddyfile", "keepalive "),
        ("traefik.yml", "idleConnTimeout: "),
    ] {
        let text = Example::read(file).text;
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let values: Vec<u64> = code
            .filter_map(|line| line.split_once(before))
            .map(|(_, after)| after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap())
            .collect();
        assert!(values.iter().any(|seconds| (30..ours).contains(seconds)), "{file}: {values:?}");
    }
}
