//! The page that a person sees. What it does in a browser is tested by `tools/browser`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use testclient::Request;

use crate::check::Check;
use crate::server::TestServer;
use crate::tokenserver::Tokenserver;

#[tokio::test]
async fn the_front_page_shows_the_url_to_paste() {
    let tokens = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://example.com:8443/my~sync/")]);
    for path in ["/", "/my~sync", "/my~sync/"] {
        let answer = tokens.send(&Request::get(path)).await.has(200);
        assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
        let page = answer.text();
        assert_eq!(page.matches(">https://example.com:8443/my~sync/1.0/sync/1.5<").count(), 3, "{page}");
        assert!(page.contains("identity.sync.tokenserver.uri"), "{page}");
        assert!(page.contains(env!("CARGO_PKG_VERSION")), "{page}");
        assert!(!page.contains("{{"), "{page}");
    }
}

#[tokio::test]
async fn the_links_on_the_front_page_lead_somewhere_below_the_public_url() {
    let tokens = Tokenserver::start_with(&[("SYNC_PUBLIC_URL", "https://example.com/sync")]);
    let answer = tokens.send(&Request::get("/")).await.has(200);
    let links: Vec<&str> =
        answer.text().split("<a href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links.len(), 4, "{links:?}");
    for link in links {
        assert!(link.starts_with("/sync/"), "{link}");
        tokens.send(&Request::get(link)).await.has(200);
    }
}

#[tokio::test]
async fn the_front_page_loads_and_runs_nothing_but_what_is_in_it() {
    let tokens = Tokenserver::start();
    let answer = tokens.send(&Request::get("/")).await.has(200);
    let between = |start: &str, end: &str| {
        let mut parts = answer.text().split(start).skip(1).map(|rest| rest.split(end).next().unwrap());
        let only = parts.next().unwrap();
        assert_eq!(parts.next(), None, "{start} is there twice");
        format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, only.as_bytes())))
    };
    let (style, script) = (between("<style>", "</style>"), between("<script>", "</script>"));
    let policy = answer.must_have("Content-Security-Policy");
    assert_eq!(
        policy.split("; ").collect::<Vec<_>>(),
        [
            "default-src 'none'",
            &format!("style-src {style}"),
            &format!("script-src {script}"),
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    );
    for inline in [" style=", " onclick=", " src=", "@import", "url("] {
        assert!(!answer.text().contains(inline), "{inline}");
    }
    assert_eq!(answer.must_have("X-Content-Type-Options"), "nosniff");
    assert_eq!(answer.must_have("Referrer-Policy"), "no-referrer");
}

#[tokio::test]
async fn nothing_that_a_client_sends_appears_on_the_front_page() {
    let tokens = Tokenserver::start();
    let plain = tokens.send(&Request::get("/")).await.has(200);
    let request = Request::get("/?x='onload=alert(1)&y=%3Cscript%3E")
        .header("Host", "evil.example.com")
        .header("X-Forwarded-Host", "\"><script>alert(2)</script>")
        .header("X-Forwarded-Proto", "https");
    assert_eq!(tokens.send(&request).await.has(200).text(), plain.text());
}

#[tokio::test]
async fn a_server_that_only_stores_tells_people_not_to_point_firefox_at_it() {
    let server = TestServer::start_with(&[
        ("SYNC_TOKENSERVER__ENABLED", "false"),
        ("SYNC_PUBLIC_URL", "https://node1.example.com"),
    ]);
    let request = Request::get("/").header("Authorization", "Bearer some-token");
    for request in [Request::get("/"), request] {
        let answer = server.connect().await.send(&request).await.unwrap().has(200);
        assert!(answer.text().contains("Do not point Firefox here"), "{answer:?}");
        assert!(answer.text().contains(">https://node1.example.com<"), "{answer:?}");
        assert!(!answer.text().contains("identity.sync.tokenserver.uri"), "{answer:?}");
    }
}
