//! Which host and port a client has to sign (section 2), and what the log says when it signs others.

use testclient::{HawkOptions, Request, Response, Token};

use crate::check::Check;
use crate::server::{SECRET, TestServer};

/// A request with this `Host` header and these others, signed for that host and port.
async fn ask(server: &TestServer, host: &str, headers: &[(&str, &str)], signed: (&str, u16)) -> Response {
    let token = Token::builder(SECRET, 1).build();
    let options = HawkOptions { host: Some(signed.0.to_owned()), port: Some(signed.1), ..Default::default() };
    let mut request = Request::get(token.path("/info/quota")).auth(&token).hawk(options).header("Host", host);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    server.connect().await.send(&request).await.unwrap()
}

/// Fails unless exactly those of the candidates that are listed are accepted.
async fn accepts(server: &TestServer, host: &str, headers: &[(&str, &str)], signed: &[(&str, u16)]) {
    let names = ["sync.example.com", "127.0.0.1", "[::1]", "::1", "other.example.com", "[2001:db8::1]"];
    for name in names {
        for port in [80, 443, 8000, 8443] {
            let answer = ask(server, host, headers, (name, port)).await;
            let expected = if signed.contains(&(name, port)) { 200 } else { 401 };
            assert_eq!(answer.status, expected, "Host: {host}, {headers:?}, signed {name}:{port}");
        }
    }
}

const HTTPS: (&str, &str) = ("X-Forwarded-Proto", "https");

#[tokio::test]
async fn the_host_header_says_what_is_signed() {
    let server = TestServer::start();
    for host in ["sync.example.com:8000", "Sync.EXAMPLE.com:8000"] {
        accepts(&server, host, &[], &[("sync.example.com", 8000)]).await;
        accepts(&server, host, &[HTTPS], &[("sync.example.com", 8000)]).await;
    }
    accepts(&server, "127.0.0.1:8443", &[], &[("127.0.0.1", 8443)]).await;
}

#[tokio::test]
async fn without_a_port_it_is_80_or_443_by_the_forwarded_scheme() {
    let server = TestServer::start();
    accepts(&server, "sync.example.com", &[], &[("sync.example.com", 80)]).await;
    for scheme in ["https", "HTTPS", "https, http"] {
        let header = ("X-Forwarded-Proto", scheme);
        accepts(&server, "Sync.Example.Com", &[header], &[("sync.example.com", 443)]).await;
    }
    accepts(&server, "sync.example.com", &[("X-Forwarded-Proto", "http")], &[("sync.example.com", 80)]).await;
}

#[tokio::test]
async fn an_ipv6_address_may_be_signed_with_and_without_brackets() {
    let server = TestServer::start();
    accepts(&server, "[::1]:8000", &[], &[("[::1]", 8000), ("::1", 8000)]).await;
    accepts(&server, "[::1]", &[], &[("[::1]", 80), ("::1", 80)]).await;
    accepts(&server, "[::1]", &[HTTPS], &[("[::1]", 443), ("::1", 443)]).await;
}

#[tokio::test]
async fn other_forwarded_headers_decide_nothing() {
    let server = TestServer::start();
    let forwarded = [("X-Forwarded-Host", "other.example.com"), ("X-Forwarded-Port", "8443")];
    accepts(&server, "sync.example.com:8000", &forwarded, &[("sync.example.com", 8000)]).await;
}

#[tokio::test]
async fn an_explicit_public_url_wins_over_all_headers() {
    let any_headers: [(&str, &[(&str, &str)]); 4] = [
        ("sync.example.com", &[]),
        ("other.example.com:8000", &[("X-Forwarded-Proto", "http")]),
        ("127.0.0.1:8443", &[("X-Forwarded-Host", "other.example.com"), HTTPS]),
        ("[::1]", &[("X-Forwarded-Port", "8000")]),
    ];
    for (url, signed) in [
        ("https://sync.example.com", ("sync.example.com", 443)),
        ("http://Sync.Example.Com/", ("sync.example.com", 80)),
        ("https://sync.example.com:8443/prefix", ("sync.example.com", 8443)),
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000)),
    ] {
        let server = TestServer::start_with(&[("SYNC_PUBLIC_URL", url)]);
        for (host, headers) in any_headers {
            accepts(&server, host, headers, &[signed]).await;
        }
    }
    let server = TestServer::start_with(&[("SYNC_PUBLIC_URL", "https://[2001:db8::1]:8443")]);
    accepts(&server, "sync.example.com", &[], &[("[2001:db8::1]", 8443)]).await;
    ask(&server, "sync.example.com", &[], ("2001:db8::1", 8443)).await.has(200);
}

#[tokio::test]
async fn a_public_url_that_was_not_set_explicitly_does_not_win() {
    let server = TestServer::start_with(&[("SYNC_TOKENSERVER__INIT_NODE_URL", "https://other.example.com")]);
    accepts(&server, "sync.example.com:8000", &[], &[("sync.example.com", 8000)]).await;
}

#[tokio::test]
async fn below_the_path_of_the_public_url_is_the_same_server() {
    let server = TestServer::start_with(&[("SYNC_PUBLIC_URL", "https://sync.example.com/a/b")]);
    let token = Token::builder(SECRET, 1).build();
    let options = || HawkOptions { host: Some("sync.example.com".into()), port: Some(443), ..Default::default() };
    let mut connection = server.connect().await;
    for path in ["/a/b/1.5/1/info/collections", "/1.5/1/info/collections"] {
        connection.send(&Request::get(path).auth(&token).hawk(options())).await.unwrap().is(200, "{}").timestamp();
        connection.send(&Request::delete(path).auth(&token).hawk(options())).await.unwrap().is(405, "1").timestamp();
        let nowhere = path.replace("collections", "x");
        connection.send(&Request::get(nowhere)).await.unwrap().is(404, "0").timestamp();
    }
    let expired = Token::builder(SECRET, 1).expired().build();
    let path = "/a/b/1.5/1/info/collections";
    connection.send(&Request::get(path).auth(&expired).hawk(options())).await.unwrap().has(200);
}

fn explanation(server: &TestServer) -> String {
    let line = server.last_refusal();
    assert!(line.starts_with("WARN request refused") && line.contains("status: 401"), "{line}");
    line
}

#[tokio::test]
async fn a_mac_for_another_host_is_explained_in_the_log_and_refused() {
    let server = TestServer::start();
    let proxied = [("X-Forwarded-Host", "sync.example.com"), HTTPS];
    ask(&server, "backend:8000", &proxied, ("sync.example.com", 443)).await.is(401, "0");
    let line = explanation(&server);
    assert!(line.contains("signed sync.example.com:443") && line.contains("backend:8000"), "{line}");
    assert!(line.contains("SYNC_PUBLIC_URL"), "{line}");

    // The proxy passed the host on, but not the scheme.
    ask(&server, "sync.example.com", &[], ("sync.example.com", 443)).await.is(401, "0");
    let line = explanation(&server);
    assert!(line.contains("signed sync.example.com:443") && line.contains("expects sync.example.com:80"), "{line}");
    assert!(line.contains("SYNC_PUBLIC_URL") && line.contains("X-Forwarded-Proto"), "{line}");

    // The proxy took the port off.
    ask(&server, "sync.example.com", &[("X-Forwarded-Port", "8443")], ("sync.example.com", 8443)).await.is(401, "0");
    assert!(explanation(&server).contains("signed sync.example.com:8443"));
}

#[tokio::test]
async fn a_public_url_that_is_not_what_clients_use_is_explained_in_the_log() {
    let server = TestServer::start_with(&[("SYNC_PUBLIC_URL", "https://sync.example.com")]);
    ask(&server, "192.0.2.7:8000", &[], ("192.0.2.7", 8000)).await.is(401, "0");
    let line = explanation(&server);
    assert!(line.contains("signed 192.0.2.7:8000") && line.contains("expects sync.example.com:443"), "{line}");
    assert!(line.contains("SYNC_PUBLIC_URL"), "{line}");
}

#[tokio::test]
async fn a_proxy_that_changes_the_path_is_explained_in_the_log() {
    let server = TestServer::start_with(&[("SYNC_PUBLIC_URL", "https://sync.example.com/prefix")]);
    let token = Token::builder(SECRET, 1).build();
    let options = |target: &str| HawkOptions {
        host: Some("sync.example.com".into()),
        port: Some(443),
        target: Some(target.into()),
        ..Default::default()
    };
    let mut connection = server.connect().await;
    let [with, without] = ["/prefix/1.5/1/info/quota", "/1.5/1/info/quota"];
    for (signed, sent) in [(with, without), (without, with)] {
        connection.send(&Request::get(sent).auth(&token).hawk(options(signed))).await.unwrap().is(401, "0");
        let line = explanation(&server);
        assert!(line.contains(&format!("signed the path {signed:?}")) && line.contains("the proxy"), "{line}");
    }
}

#[tokio::test]
async fn a_mac_that_fits_nothing_is_said_to_fit_nothing() {
    let server = TestServer::start();
    ask(&server, "sync.example.com", &[], ("nobody.example.com", 1)).await.is(401, "0");
    let line = explanation(&server);
    assert!(line.contains("MAC does not fit") && line.contains("expects sync.example.com:80"), "{line}");
}
