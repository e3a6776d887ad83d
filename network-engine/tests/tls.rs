//! TLS to real servers, with certificates of this test's own.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use network_engine::{Driver, Engine, EngineOptions, InvalidLocation};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use testdb::{Options, Server};

/// A certificate authority, and what a server has of it.
struct Authority {
    folder: TempDir,
    root: String,
    certificate: String,
    key: String,
}

impl Authority {
    /// With a server certificate for this name.
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let folder = TempDir::new().unwrap();
        let root = authority.pem();
        std::fs::write(folder.path().join("root.pem"), &root).unwrap();
        Self { folder, root, certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// A server that takes nobody in without TLS.
    fn server(&self, engine: testdb::Engine) -> Server {
        let options = Options::default()
            .file("server.pem", &self.certificate)
            .file("server.key", &self.key)
            .file("root.pem", &self.root);
        Server::start(
            engine,
            match engine {
                testdb::Engine::Postgres => options
                    .setting("ssl", "on")
                    .setting("ssl_cert_file", "server.pem")
                    .setting("ssl_key_file", "server.key")
                    .access("hostssl all all 127.0.0.1/32 scram-sha-256")
                    .access("hostssl all all ::1/128 scram-sha-256"),
                testdb::Engine::Mysql => options
                    .setting("ssl-cert", "server.pem")
                    .setting("ssl-key", "server.key")
                    .setting("ssl-ca", "root.pem")
                    .setting("require-secure-transport", "ON"),
            },
        )
    }
}

/// The parameters of a URL, in the words of either client.
struct Words {
    engine: testdb::Engine,
    mode: &'static str,
    roots: &'static str,
    disable: &'static str,
    prefer: &'static str,
    require: &'static str,
    verify_ca: &'static str,
    verify_full: &'static str,
    /// Whether `require` takes roots and looks at them, and no mode does not, and `verify_ca` leaves the name alone, as
    /// libpq has it.
    as_libpq: bool,
    /// A question whose answer says that this connection is encrypted.
    is_encrypted: &'static str,
}

const POSTGRES: Words = Words {
    engine: testdb::Engine::Postgres,
    mode: "sslmode",
    roots: "sslrootcert",
    disable: "disable",
    prefer: "prefer",
    require: "require",
    verify_ca: "verify-ca",
    verify_full: "verify-full",
    as_libpq: true,
    is_encrypted: "DO $$ BEGIN IF NOT (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) THEN
                   RAISE 'in the clear'; END IF; END $$",
};

const MYSQL: Words = Words {
    engine: testdb::Engine::Mysql,
    mode: "ssl-mode",
    roots: "ssl-ca",
    disable: "DISABLED",
    prefer: "PREFERRED",
    require: "REQUIRED",
    verify_ca: "VERIFY_CA",
    verify_full: "VERIFY_IDENTITY",
    as_libpq: false,
    // A subquery with two rows is an error.
    is_encrypted: "DO (SELECT 1 FROM information_schema.session_status s, (SELECT 1 UNION SELECT 2) two
                   WHERE s.variable_name = 'Ssl_cipher' AND s.variable_value = '')",
};

/// An empty `mode` is one that is not given.
async fn connect<C: Driver>(
    server: &Server,
    words: &Words,
    mode: &str,
    roots: Option<&Path>,
    host: &str,
) -> Result<(), String> {
    let roots = roots.map(|path| format!("&{}={}", words.roots, path.display())).unwrap_or_default();
    let given = if mode.is_empty() { String::new() } else { format!("{}={mode}", words.mode) };
    let url = format!("{}?{given}{roots}", server.url()).replace("127.0.0.1", host);
    let location = url.parse().map_err(|error: InvalidLocation| error.to_string())?;
    let engine = Engine::<C>::open(&location, EngineOptions::default(), Vec::new());
    let engine = engine.await.map_err(|error| error.to_string())?;
    if mode != words.disable {
        engine.connection().await.unwrap().batch(words.is_encrypted).await.unwrap();
    }
    Ok(())
}

async fn modes<C: Driver>(words: Words) {
    let authority = Authority::new("localhost");
    let stranger = Authority::new("localhost");
    let server = authority.server(words.engine);
    let (ours, theirs) = (authority.root_file(), stranger.root_file());
    let ours = Some(ours.as_path());
    let theirs = Some(theirs.as_path());

    // The certificate is for `localhost`.
    for (mode, roots, host, expected) in [
        (words.prefer, None, "127.0.0.1", true),
        (words.require, None, "127.0.0.1", true),
        (words.require, ours, "127.0.0.1", words.as_libpq),
        (words.verify_ca, ours, "127.0.0.1", words.as_libpq),
        (words.verify_ca, ours, "localhost", true),
        (words.verify_full, ours, "localhost", true),
        (words.disable, None, "127.0.0.1", false),
        (words.require, theirs, "127.0.0.1", false),
        ("", ours, "localhost", !words.as_libpq),
        ("", theirs, "localhost", false),
        (words.verify_ca, theirs, "localhost", false),
        (words.verify_ca, None, "localhost", false),
        (words.verify_full, ours, "127.0.0.1", false),
        (words.verify_full, theirs, "localhost", false),
        (words.verify_full, None, "localhost", false),
    ] {
        let connected = connect::<C>(&server, &words, mode, roots, host).await;
        assert_eq!(connected.is_ok(), expected, "{mode} with {roots:?} to {host}: {connected:?}");
    }
    let missing =
        connect::<C>(&server, &words, words.verify_full, Some(Path::new("/nonexistent.pem")), "localhost").await;
    assert!(missing.unwrap_err().contains("/nonexistent.pem"));
}

#[tokio::test]
async fn postgres_is_spoken_to_by_tls_as_the_url_says() {
    modes::<AsyncPgConnection>(POSTGRES).await;
}

#[tokio::test]
async fn mysql_is_spoken_to_by_tls_as_the_url_says() {
    modes::<AsyncMysqlConnection>(MYSQL).await;
}

#[tokio::test]
async fn a_server_without_tls_is_preferred_to_none() {
    let server = Server::start(testdb::Engine::Postgres, Options::default());
    let url = format!("{}?sslmode=prefer", server.url());
    Engine::<AsyncPgConnection>::open(&url.parse().unwrap(), EngineOptions::default(), Vec::new()).await.unwrap();
    let url = format!("{}?sslmode=require", server.url());
    let refused = Engine::<AsyncPgConnection>::open(&url.parse().unwrap(), EngineOptions::default(), Vec::new()).await;
    assert!(refused.is_err());

    let server = Server::start(testdb::Engine::Mysql, Options::default().setting("skip-ssl", "ON"));
    let url = format!("{}?ssl-mode=PREFERRED", server.url());
    Engine::<AsyncMysqlConnection>::open(&url.parse().unwrap(), EngineOptions::default(), Vec::new()).await.unwrap();
    let url = format!("{}?ssl-mode=REQUIRED", server.url());
    let refused =
        Engine::<AsyncMysqlConnection>::open(&url.parse().unwrap(), EngineOptions::default(), Vec::new()).await;
    assert!(refused.is_err());
}
