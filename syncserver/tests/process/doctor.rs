//! `syncserver doctor`, on deployments that are well and on such as people have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};

use serde_json::Value;
use testclient::{Certificate, MockFxa};

use crate::program::{BINARY, Folder, SECRET, Server, run, text};
use crate::small_disk::mounted;

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
        self.run_by(Command::new(BINARY), arguments, environment)
    }

    /// The same, started by another program.
    fn run_by(&self, program: Command, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let url = self.fxa.url();
        let mut all = vec![("SYNC_TOKENSERVER__FXA_OAUTH_SERVER_URL", url.as_str()), ("SYNC_PORT", &self.port)];
        all.extend(environment);
        let mut command = self.folder.command_of(program, &all);
        command.arg("doctor").args(arguments);
        run(command)
    }

    fn findings(&self, environment: &[(&str, &str)]) -> Findings {
        findings(&self.run(&["--json"], environment))
    }

    fn stop(&mut self) {
        self.server.take().unwrap().stop();
    }
}

fn findings(output: &Output) -> Findings {
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
    behind_with(most, change, &[])
}

/// The same, with these settings for both.
fn behind_with(most: usize, change: fn(String) -> String, environment: &[(&str, &str)]) -> Findings {
    let port = testdb::free_port().unwrap();
    let url = proxy(SocketAddr::from(([127, 0, 0, 1], port)), most, change);
    let both = [&[("SYNC_PUBLIC_URL", url.as_str())], environment].concat();
    let port = port.to_string();
    Deployment::start(&[both.as_slice(), &[("SYNC_PORT", &port)]].concat()).findings(&both)
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
    let log = deployment.server.unwrap().stop();
    let refused: Vec<_> = log.iter().filter(|line| line.contains("request refused")).collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| line.contains("\"info\"")), "{log:#?}");
}

/// The settings were changed, and nobody has restarted the server.
#[test]
fn a_server_that_sends_clients_elsewhere_is_told() {
    let deployment = Deployment::start(&[]);
    let findings = deployment.findings(&[("SYNC_PUBLIC_URL", &format!("http://localhost:{}", deployment.port))]);
    let says = format!("http://127.0.0.1:{}", deployment.port);
    assert_fails(&findings, &["public_url"], &[&says, "http://localhost:", "Restart", "SYNC_PUBLIC_URL"]);
}

#[test]
fn the_size_that_is_tried_is_the_one_that_the_server_tells() {
    let deployment = Deployment::start(&[]);
    let findings = deployment.findings(&[("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "6000000")]);
    assert_fails(&findings, &[], &[]);
    let (_, status, says) = findings.iter().find(|(check, ..)| check == "body size").unwrap();
    assert_eq!(status, "warn", "{findings:#?}");
    assert!(says.starts_with("2625536 bytes") && says.contains("6000000"), "{says}");
}

#[test]
fn settings_that_cannot_be_used_are_a_finding() {
    let deployment = Deployment::start(&[]);
    let typo = [("SYNC_PORTT", "3")];
    let findings = deployment.findings(&typo);
    assert_fails(&findings, &["settings"], &["SYNC_PORTT", "SYNC_PORT?", "syncserver settings"]);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    let output = deployment.run(&[], &typo);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("FAIL  settings  "), "{output:?}");
}

#[test]
fn a_master_secret_that_the_server_would_refuse_is_told_in_its_words() {
    let mut deployment = Deployment::start(&[]);
    deployment.stop();
    for wrong in ["another master secret for tests", ""] {
        let environment = [("SYNC_MASTER_SECRET", wrong)];
        let refusal = deployment.folder.refusal(&environment);
        let findings = deployment.findings(&environment);
        let said = refusal.why.strip_prefix("syncserver: ").unwrap();
        assert_fails(&findings, &["master secret", "listener"], &[said]);
    }
    let changed = [("SYNC_MASTER_SECRET", "a newer one"), ("SYNC_PREVIOUS_MASTER_SECRETS", SECRET)];
    assert_eq!(status(&deployment.findings(&changed), "master secret"), "ok");
    // Nothing of that was kept.
    assert_eq!(status(&deployment.findings(&[]), "master secret"), "ok");
}

#[test]
fn a_certificate_that_the_server_could_not_use_is_told() {
    let mut deployment = Deployment::start(&[]);
    deployment.stop();
    let [one, other] = [(); 2].map(|()| Certificate::new(&["localhost"]));
    let (pem, key) = (deployment.folder.write("cert.pem", &one.pem), deployment.folder.write("key.pem", &other.key));
    for (key, says) in [("/no/such/file", "tls_key"), (&key, "does not belong to")] {
        let findings = deployment.findings(&[("SYNC_TLS_CERTIFICATE", &pem), ("SYNC_TLS_KEY", key)]);
        assert_fails(&findings, &["certificate", "listener"], &[says]);
    }
}

/// A disk of its own, where this machine lets us mount one.
#[test]
fn the_disk_of_the_database_is_looked_at_wherever_it_is() {
    let deployment = Deployment::start(&[]);
    let disk = deployment.folder.path("disk");
    let Some(inside) = mounted(&disk, "shift && exec \"$0\" \"$@\"", &[]) else { return };
    let database = disk.join("sync.db");
    let output = deployment.run_by(inside, &["--json"], &[("SYNC_SYNCSTORAGE__DATABASE_URL", text(&database))]);
    assert_fails(&findings(&output), &["disk space"], &[text(&disk), "at least 64 are needed"]);
}

#[test]
fn a_server_that_does_not_run_is_missed() {
    let mut deployment = Deployment::start(&[]);
    deployment.stop();
    let findings = deployment.findings(&[]);
    assert_fails(&findings, &["listener"], &["no syncserver answers at", "Start it", "host, port"]);
    assert_eq!(status(&findings, "public_url"), "skipped");
    assert_eq!(status(&findings, "database"), "ok");
}

#[test]
fn a_first_start_that_has_not_been_is_no_failure_of_the_database() {
    let mut deployment = Deployment::start(&[]);
    deployment.stop();
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
    // One that the server would take, and has not yet.
    let changed = [("SYNC_MASTER_SECRET", "another master secret for tests"), ("SYNC_PREVIOUS_MASTER_SECRETS", SECRET)];
    assert_fails(&deployment.findings(&changed), &["signatures"], &["401", "master secret"]);
    let log = deployment.server.unwrap().stop();
    assert!(log.iter().any(|line| line.contains("\"warning\"") && line.contains("/info/configuration")), "{log:#?}");
}

#[test]
fn a_public_url_that_leads_elsewhere_is_told() {
    let nowhere = [("SYNC_PUBLIC_URL", "http://127.0.0.1:9")];
    let findings = Deployment::start(&nowhere).findings(&nowhere);
    assert_fails(&findings, &["public_url"], &["http://127.0.0.1:9", "SYNC_PUBLIC_URL"]);
    let other = Deployment::start(&[]);
    let url = format!("http://127.0.0.1:{}", other.port);
    let others = [("SYNC_PUBLIC_URL", url.as_str())];
    let findings = Deployment::start(&others).findings(&others);
    assert_eq!(status(&findings, "public_url"), "warn", "{findings:#?}");
}

#[test]
fn a_server_for_others_without_a_public_url_is_warned_about() {
    let open = [("SYNC_HOST", "0.0.0.0")];
    let findings = Deployment::start(&open).findings(&open);
    let warned = |(check, status, message): &(String, String, String)| {
        check == "public_url" && status == "warn" && message.contains("clients are sent to http://127.0.0.1:")
    };
    assert!(findings.iter().any(warned), "{findings:#?}");
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
    assert_fails(&findings, &["body size"], &["2625536", "413", "client_max_body_size 3m"]);
    let more = [("SYNC_SYNCSTORAGE__LIMITS__MAX_REQUEST_BYTES", "6000000")];
    let findings = behind_with(1 << 20, |head| head, &more);
    assert_fails(&findings, &["body size"], &["6000000", "client_max_body_size 6m"]);
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
    assert!(printed.contains("\nok    certificate "), "{printed}");
}

#[test]
fn a_file_of_authorities_without_any_is_refused() {
    let deployment = Deployment::start(&[]);
    let file = deployment.folder.write("ca.pem", "nothing\n");
    let output = deployment.run(&["--ca", &file], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("BEGIN CERTIFICATE"), "{output:?}");
}
