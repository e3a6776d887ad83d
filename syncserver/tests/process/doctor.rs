//! `syncserver doctor`, on deployments that are well and on such as people have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Output;

use serde_json::Value;
use testclient::{Certificate, MockFxa};

use crate::program::{Folder, Server, run};

/// A server, and what the doctor finds when it has the same settings and those of `environment`.
struct Deployment {
    folder: Folder,
    fxa: MockFxa,
    server: Option<Server>,
    port: String,
}

/// The status and the message of each check.
type Findings = Vec<(String, String, String)>;

impl Deployment {
    fn start(environment: &[(&str, &str)]) -> Self {
        let (folder, fxa) = (Folder::on_backend(), MockFxa::start());
        let url = fxa.url();
        let mut all = vec![("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", url.as_str())];
        all.extend(environment);
        let server = folder.start_with(&all);
        let port = server.addr.port().to_string();
        Self { folder, fxa, server: Some(server), port }
    }

    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let url = self.fxa.url();
        let mut all = vec![("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", url.as_str()), ("SYNC_PORT", &self.port)];
        all.extend(environment);
        let mut command = self.folder.command(&all);
        command.arg("doctor").args(arguments);
        run(command)
    }

    fn findings(&self, environment: &[(&str, &str)]) -> Findings {
        let output = self.run(&["--json"], environment);
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
        let findings: Findings = findings
            .as_array()
            .unwrap()
            .iter()
            .map(|one| (text(one, "check"), text(one, "status"), text(one, "message")))
            .collect();
        let fails = findings.iter().any(|(_, status, _)| status == "fail");
        assert_eq!(output.status.code(), Some(i32::from(fails)), "{output:?}");
        findings
    }
}

/// That exactly these checks failed, and what the first of them says.
fn assert_fails(findings: &Findings, checks: &[&str], says: &[&str]) {
    let failed: Vec<_> = findings.iter().filter(|(_, status, _)| status == "fail").collect();
    let names: Vec<_> = failed.iter().map(|(check, ..)| check.as_str()).collect();
    assert_eq!(names, checks, "{findings:#?}");
    for words in says {
        assert!(failed[0].2.contains(words), "{words:?} is not in {:?}", failed[0].2);
    }
}

fn status<'a>(findings: &'a Findings, check: &str) -> &'a str {
    findings.iter().find(|(name, ..)| name == check).map_or("absent", |(_, status, _)| status)
}

/// A proxy in front of the server that does `change` to the head of each request, and takes bodies up to `most` bytes.
fn proxy(to: SocketAddr, most: usize, change: fn(String) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away early is no concern of the proxy.
            let _ = pass_on(client, to, most, change);
        }
    });
    url
}

fn pass_on(mut client: TcpStream, to: SocketAddr, most: usize, change: fn(String) -> String) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    if body.len() > most {
        return client
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 14\r\nConnection: close\r\n\r\n<html>too big\n");
    }
    let mut server = TcpStream::connect(to)?;
    let head = change(head).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    std::io::copy(&mut server, &mut client).map(drop)
}

/// A server whose public URL is that of a proxy, and what the doctor finds.
fn behind(most: usize, change: fn(String) -> String) -> Findings {
    let port = testdb::free_port().unwrap();
    let url = proxy(SocketAddr::from(([127, 0, 0, 1], port)), most, change);
    let public_url = ("SYNC_PUBLIC_URL", url.as_str());
    Deployment::start(&[("SYNC_PORT", &port.to_string()), public_url]).findings(&[public_url])
}

#[test]
fn a_server_that_is_well_is_found_well_and_the_url_for_firefox_is_printed() {
    let deployment = Deployment::start(&[]);
    let findings = deployment.findings(&[]);
    for check in [
        "settings",
        "registration",
        "database",
        "master secret",
        "nodes",
        "accounts server",
        "listener",
        "public_url",
        "sign-in",
        "signatures",
        "paths",
        "body size",
    ] {
        assert_eq!(status(&findings, check), "ok", "{check}: {findings:#?}");
    }
    let output = deployment.run(&[], &[]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let url = format!("http://127.0.0.1:{}/1.0/sync/1.5\n", deployment.port);
    assert!(output.status.success() && printed.ends_with(&url), "{printed}");
}

#[test]
fn a_server_that_does_not_run_is_missed() {
    let mut deployment = Deployment::start(&[]);
    deployment.server.take().unwrap().stop();
    let findings = deployment.findings(&[]);
    assert_fails(&findings, &["listener"], &["no syncserver answers at", "Start it", "host, port"]);
    assert_eq!(status(&findings, "public_url"), "skipped");
    assert_eq!(status(&findings, "database"), "ok");
}

#[test]
fn a_first_start_that_has_not_been_is_no_failure_of_the_database() {
    let mut deployment = Deployment::start(&[]);
    deployment.server.take().unwrap().stop();
    let empty = Folder::new();
    let findings = deployment.findings(&[
        ("SYNC_DATA_DIR", empty.data().to_str().unwrap()),
        ("SYNC_SYNCSTORAGE__DATABASE_URL", empty.database().to_str().unwrap()),
    ]);
    assert_eq!(status(&findings, "data folder"), "warn", "{findings:#?}");
    assert_eq!(status(&findings, "database"), "warn", "{findings:#?}");
    assert!(!empty.data().exists(), "nothing was made");
}

#[test]
fn a_database_that_does_not_answer_is_told() {
    let deployment = Deployment::start(&[]);
    let findings =
        deployment.findings(&[("SYNC_SYNCSTORAGE__DATABASE_URL", "postgres://me:hush-hush@127.0.0.1:9/sync")]);
    assert_eq!(status(&findings, "database"), "fail", "{findings:#?}");
    assert!(!format!("{findings:?}").contains("hush-hush"), "{findings:?}");
}

#[test]
fn an_accounts_server_that_does_not_answer_matters_unless_its_key_is_known() {
    let deployment = Deployment::start(&[]);
    let nowhere = ("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", "http://127.0.0.1:9");
    assert_fails(
        &deployment.findings(&[nowhere]),
        &["accounts server"],
        &["http://127.0.0.1:9/v1/jwks", "does not answer"],
    );
    let key = [
        nowhere,
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__KTY", "RSA"),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__KID", "one"),
        (
            "SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__N",
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK",
        ),
        ("SYNC_TOKENSERVER__FXA_OAUTH_PRIMARY_JWK__E", "AQAB"),
    ];
    assert_eq!(status(&deployment.findings(&key), "accounts server"), "ok");
}

#[test]
fn another_master_secret_than_the_servers_is_found_by_what_it_signs() {
    let deployment = Deployment::start(&[]);
    let findings = deployment.findings(&[("SYNC_MASTER_SECRET", "another master secret for tests")]);
    assert_fails(&findings, &["signatures"], &["401", "master secret"]);
}

#[test]
fn a_public_url_that_leads_elsewhere_is_told() {
    let deployment = Deployment::start(&[]);
    let findings = deployment.findings(&[("SYNC_PUBLIC_URL", "http://127.0.0.1:9")]);
    assert_fails(&findings, &["public_url"], &["http://127.0.0.1:9", "SYNC_PUBLIC_URL"]);
    let other = Deployment::start(&[]);
    let findings = deployment.findings(&[("SYNC_PUBLIC_URL", &format!("http://127.0.0.1:{}", other.port))]);
    assert_eq!(status(&findings, "public_url"), "warn", "{findings:#?}");
}

#[test]
fn a_proxy_that_passes_everything_on_is_well() {
    let findings = behind(usize::MAX, |head| head);
    assert_fails(&findings, &[], &[]);
    assert_eq!(status(&findings, "body size"), "ok", "{findings:#?}");
}

#[test]
fn a_proxy_that_takes_small_bodies_alone_is_told_with_the_limit() {
    let findings = behind(1 << 20, |head| head);
    assert_fails(&findings, &["body size"], &["2625536", "413", "client_max_body_size"]);
}

#[test]
fn a_proxy_that_decodes_paths_is_told() {
    let findings = behind(usize::MAX, |head| head.replace("%7B", "{").replace("%2F", "/"));
    assert_fails(&findings, &["paths"], &["401", "as they come"]);
}

#[test]
fn a_proxy_that_knows_one_path_alone_is_told() {
    let findings = behind(usize::MAX, |head| head.replace("GET /1.0/", "GET /elsewhere/1.0/"));
    assert_fails(&findings, &["sign-in"], &["404", "every path"]);
}

/// Its certificate is good for its public name, by which the doctor asks as clients do; not so where it listens.
#[test]
fn a_server_with_a_certificate_of_its_own_is_found_well() {
    let certificate = Certificate::new(&["localhost"]);
    let files = Folder::new();
    let (pem, key) = (files.write("cert.pem", &certificate.pem), files.write("key.pem", &certificate.key));
    // The URL has to name it.
    let port = testdb::free_port().unwrap().to_string();
    let url = format!("https://localhost:{port}");
    let environment = [
        ("SYNC_TLS_CERTIFICATE", pem.as_str()),
        ("SYNC_TLS_KEY", &key),
        ("SYNC_PORT", &port),
        ("SYNC_PUBLIC_URL", &url),
    ];
    let deployment = Deployment::start(&environment);
    let output = deployment.run(&["--ca", &pem], &environment);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.ends_with(&format!("{url}/1.0/sync/1.5\n")), "{output:?}");
}

#[test]
fn a_file_of_authorities_without_any_is_refused() {
    let deployment = Deployment::start(&[]);
    let file = deployment.folder.write("ca.pem", "nothing\n");
    let output = deployment.run(&["--ca", &file], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("BEGIN CERTIFICATE"), "{output:?}");
}
