//! How a server is to be.

/// How a server is to be. The default is one for tests: quick, and gone with the machine's power.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(crate) durable: bool,
    pub(crate) port: Option<u16>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) files: Vec<(String, String)>,
    pub(crate) access: Vec<String>,
}

impl Options {
    /// What is committed is on the disk, as in earnest; for benchmarks.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// The port on 127.0.0.1, in place of one that is free.
    #[must_use]
    pub fn port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// A setting of the server: `ssl` = `on` is `-c ssl=on` for Postgres and `--ssl=on` for MariaDB.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the server's data folder, such as a certificate. Settings name it without a folder.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A line of Postgres's `pg_hba.conf`, such as `hostssl all all 127.0.0.1/32 scram-sha-256`. The first such line
    /// takes the place of the one that lets everybody in over TCP who knows the password.
    #[must_use]
    pub fn access(mut self, line: &str) -> Self {
        self.access.push(line.to_owned());
        self
    }
}
