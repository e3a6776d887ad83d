//! TLS without a proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use testclient::{Certificate, Connection, HawkOptions, Request, Tls, Token};

use crate::client::Client;
use crate::program::{Folder, Refusal, SECRET, Server, run, text};

const NAMES: [&str; 2] = ["sync.example.com", "127.0.0.1"];

/// How long a new certificate may take to be shown, with nobody telling the server.
const UNASKED: Duration = Duration::from_secs(25);

/// The files that the settings name.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(folder: &Folder) -> Self {
        let files = Self { certificate: folder.path("fullchain.pem"), key: folder.path("privkey.pem") };
        fs::create_dir_all(files.certificate.parent().unwrap()).unwrap();
        files
    }

    fn with(folder: &Folder, certificate: &Certificate) -> Self {
        let files = Self::new(folder);
        files.write(certificate);
        files
    }

    fn write(&self, certificate: &Certificate) {
        fs::write(&self.certificate, &certificate.pem).unwrap();
        fs::write(&self.key, &certificate.key).unwrap();
    }

    fn variables(&self) -> [(&'static str, &str); 2] {
        [("SYNC_TLS_CERTIFICATE", text(&self.certificate)), ("SYNC_TLS_KEY", text(&self.key))]
    }
}

async fn connect(server: &Server, certificates: &[&Certificate]) -> Connection {
    Connection::connect_tls(server.addr, "127.0.0.1", &Tls::trusting(certificates)).await.unwrap()
}

async fn user(server: &Server, certificate: &Certificate) -> Client {
    Client { connection: connect(server, &[certificate]).await, token: Token::builder(SECRET, 1).build() }
}

/// Waits until new connections are shown this certificate.
async fn wait_for(server: &Server, all: &[&Certificate], shown: &Certificate, at_most: Duration) {
    let begin = Instant::now();
    while connect(server, all).await.certificate() != Some(&shown.der()) {
        assert!(begin.elapsed() < at_most, "{:#?}", server.log_lines());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a line of the log has all of these in it.
async fn wait_for_line(server: &Server, words: &[&str]) -> String {
    let begin = Instant::now();
    loop {
        let line = server.log_lines().into_iter().find(|line| words.iter().all(|word| line.contains(word)));
        if let Some(line) = line {
            return line;
        }
        assert!(begin.elapsed() < UNASKED, "no {words:?} in {:#?}", server.log_lines());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn reload(server: &Server) {
    kill_process(server.pid(), Signal::HUP).unwrap();
}

#[tokio::test]
async fn a_client_reads_and_writes_over_tls() {
    let (folder, certificate) = (Folder::new(), Certificate::new(&NAMES));
    let files = Files::with(&folder, &certificate);
    let server = folder.start_with(&files.variables());
    let mut client = user(&server, &certificate).await;
    client.keep("a", "over TLS").await;
    assert_eq!(client.kept("a").await, "over TLS");
    let big = "x".repeat(2_000_000);
    client.keep("big", &big).await;
    assert_eq!(client.kept("big").await, big);
    // A URL without a port has that of its scheme.
    let signed = HawkOptions { port: Some(443), ..Default::default() };
    let request = Request::get(client.token.path("/info/collections")).header("Host", "127.0.0.1");
    let answer = client.connection.send(&request.auth(&client.token).hawk(signed)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    // By its name as well, where the certificate has it.
    let by_name = Connection::connect_tls(server.addr, NAMES[0], &Tls::trusting(&[&certificate])).await;
    assert_eq!(by_name.unwrap().send(&Request::get("/__version__")).await.unwrap().status, 200);
    // Who does not speak TLS is not answered.
    let plain = server.connect().await.send(&Request::get("/__version__")).await;
    assert!(plain.is_err(), "{plain:?}");

    let mut healthcheck = folder.command(&files.variables());
    healthcheck.arg("healthcheck").env("SYNC_PORT", server.addr.port().to_string());
    let output = run(healthcheck);
    assert!(output.status.success(), "{output:?}");
    let log = server.stop();
    let url = "https://127.0.0.1:";
    assert!(log.iter().any(|line| line.contains("point Firefox here") && line.contains(url)), "{log:#?}");
}

#[tokio::test]
async fn connections_that_are_kept_open_live_on_when_the_certificate_changes() {
    let [old, new] = [(); 2].map(|()| Certificate::new(&NAMES));
    let folder = Folder::new();
    let files = Files::with(&folder, &old);
    let server = folder.start_with(&files.variables());
    let mut client = user(&server, &old).await;
    client.keep("a", "before").await;
    files.write(&new);
    reload(&server);
    wait_for(&server, &[&old, &new], &new, Duration::from_secs(5)).await;
    client.keep("a", "after").await;
    assert_eq!(client.connection.certificate(), Some(old.der().as_slice()));
    let mut other = user(&server, &new).await;
    assert_eq!(other.kept("a").await, "after");
    wait_for_line(&server, &["the TLS certificate was replaced", text(&files.certificate)]).await;
    server.stop();
}

/// As certbot keeps them: names that are links into a folder of all that there ever were.
#[tokio::test]
async fn files_that_are_replaced_by_turning_links_are_noticed_unasked() {
    use std::os::unix::fs::symlink;
    let [old, new] = [(); 2].map(|()| Certificate::new(&NAMES));
    let folder = Folder::new();
    let archive = folder.path("archive");
    fs::create_dir_all(&archive).unwrap();
    let archived = |name: &str, text: &str| {
        let path = archive.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files = Files::new(&folder);
    let turn = |link: &Path, to: &Path| {
        let beside = link.with_extension("new");
        symlink(to, &beside).unwrap();
        fs::rename(&beside, link).unwrap();
    };
    turn(&files.certificate, &archived("fullchain1.pem", &old.pem));
    turn(&files.key, &archived("privkey1.pem", &old.key));
    let server = folder.start_with(&files.variables());
    wait_for(&server, &[&old, &new], &old, UNASKED).await;
    turn(&files.certificate, &archived("fullchain2.pem", &new.pem));
    turn(&files.key, &archived("privkey2.pem", &new.key));
    wait_for(&server, &[&old, &new], &new, UNASKED).await;
    server.stop();
}

#[tokio::test]
async fn new_files_that_are_broken_change_nothing_and_are_told_of_once() {
    let [old, new] = [(); 2].map(|()| Certificate::new(&NAMES));
    let folder = Folder::new();
    let files = Files::with(&folder, &old);
    let server = folder.start_with(&files.variables());
    for (break_it, words) in [
        (&(|| fs::write(&files.certificate, &new.pem).unwrap()) as &dyn Fn(), "does not belong to"),
        (&|| fs::write(&files.certificate, &new.pem[..200]).unwrap(), "fullchain.pem, which is not a PEM file"),
        (&|| fs::remove_file(&files.certificate).unwrap(), "cannot read: No such file"),
    ] {
        break_it();
        reload(&server);
        let line = wait_for_line(&server, &["the one from before stays", words]).await;
        assert!(line.contains(text(&files.certificate)), "{line}");
        assert_eq!(connect(&server, &[&old]).await.certificate(), Some(old.der().as_slice()));
    }
    reload(&server);
    reload(&server);
    files.write(&new);
    reload(&server);
    wait_for(&server, &[&old, &new], &new, Duration::from_secs(5)).await;
    let log = server.stop();
    let complaints = log.iter().filter(|line| line.contains("No such file")).count();
    assert_eq!(complaints, 1, "{log:#?}");
}

#[tokio::test]
async fn a_certificate_that_has_ended_or_soon_will_is_a_warning_with_the_day() {
    for (certificate, words) in
        [(Certificate::until(&NAMES, (2021, 5, 4)), "has expired"), (Certificate::until(&NAMES, (4000, 1, 1)), "")]
    {
        let folder = Folder::new();
        let files = Files::with(&folder, &certificate);
        let server = folder.start_with(&files.variables());
        let mut log = server.stop();
        log.retain(|line| line.contains("certificate") && !line.contains("listening"));
        assert_eq!(log.len(), usize::from(!words.is_empty()), "{log:#?}");
        assert!(log.iter().all(|line| line.contains(words) && line.contains("2021-05-04")), "{log:#?}");
    }
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_the_file_and_the_reason() {
    let [certificate, other] = [(); 2].map(|()| Certificate::new(&NAMES));
    let folder = Folder::new();
    let files = Files::with(&folder, &certificate);
    let both = format!("{}{}", other.pem, certificate.pem);
    let locked = certificate.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let (pem, key) = (certificate.pem.as_str(), certificate.key.as_str());
    for (pem, key, words) in [
        (pem, other.key.as_str(), "(tls_key) does not belong to the first certificate"),
        (&both, key, "which has to be the server's own"),
        (key, key, "fullchain.pem, which holds no certificate"),
        (pem, pem, "are tls_certificate and tls_key the wrong way round?"),
        (pem, "", "privkey.pem, which holds no private key"),
        (pem, &locked, "locked with a passphrase"),
        ("-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n", key, "a certificate that cannot be read"),
    ] {
        fs::write(&files.certificate, pem).unwrap();
        fs::write(&files.key, key).unwrap();
        folder.refusal(&files.variables()).names(&[words]);
        let mut check = folder.command(&files.variables());
        check.arg("check-config");
        Refusal::of(check).names(&[words]);
    }
    fs::remove_file(&files.key).unwrap();
    let user = format!("the user with the number {}", rustix::process::geteuid().as_raw());
    folder.refusal(&files.variables()).names(&["tls_key", text(&files.key), "No such file", &user]);
    assert!(!folder.database().exists(), "nothing is made before the certificate is known to be good");
}

#[test]
fn one_file_without_the_other_is_refused() {
    let folder = Folder::new();
    for (given, missing) in [("SYNC_TLS_CERTIFICATE", "SYNC_TLS_KEY"), ("SYNC_TLS_KEY", "SYNC_TLS_CERTIFICATE")] {
        let words = [given, missing, "or neither for plain HTTP"];
        // The name of the missing one is that of the file.
        let words = words.map(|word| if word == missing { word.trim_start_matches("SYNC_") } else { word });
        let refusal = folder.refusal(&[(given, "/a/file.pem")]);
        refusal.names(&[words[0], words[2]]);
        assert!(refusal.why.to_uppercase().contains(words[1]), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_write_is_answered_while_the_server_stops() {
    let (folder, certificate) = (Folder::new(), Certificate::new(&NAMES));
    let files = Files::with(&folder, &certificate);
    let mut server = folder.start_with(&files.variables());
    let idle = user(&server, &certificate).await;
    let mut client = user(&server, &certificate).await;
    let body = client.begin_to_keep("slow", "slowly").await;
    server.terminate();
    server.refuses_connections().await;
    client.connection.send_raw(&body).await.unwrap();
    assert_eq!(client.connection.read_response().await.unwrap().status, 200);
    let (status, took) = server.wait();
    assert!(status.success() && took < Duration::from_secs(9), "{status} after {took:?}");
    drop(idle);
}
