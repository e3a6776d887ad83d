//! The proxies, each as a process of its own, without the rights of root and away from the system's own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use testclient::Certificate;

use crate::example::Example;

/// A user without rights, whom every system has.
const NOBODY: u32 = 65534;

/// The name in the examples.
pub(crate) const NAME: &str = "sync.example.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    Nginx,
    Apache,
    Caddy,
}

impl Proxy {
    fn program(self) -> PathBuf {
        let (name, package) = match self {
            Self::Nginx => ("nginx", "nginx"),
            Self::Apache => ("apache2", "apache2-bin"),
            Self::Caddy => ("caddy", "caddy"),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        // Those for root are in the path of root alone.
        let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin", "/sbin"]);
        let found = folders.map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
        found.unwrap_or_else(|| panic!("{name} is not installed: apt-get install --no-install-recommends {package}"))
    }

    /// Starts it with its example. `listen` is where it takes connections, `server` where it passes them on to.
    pub(crate) fn start(
        self,
        prefix: &str,
        listen: SocketAddr,
        server: SocketAddr,
        certificate: &Certificate,
    ) -> RunningProxy {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(path("cert.pem"), &certificate.pem).unwrap();
        fs::write(path("key.pem"), &certificate.key).unwrap();
        let (site, main) = match self {
            Self::Nginx => nginx(folder.path(), prefix, listen),
            Self::Apache => apache(folder.path(), prefix, listen),
            Self::Caddy => caddy(folder.path(), prefix, listen),
        };
        let site = site.with("127.0.0.1:8000", &server.to_string());
        let main = if self == Self::Caddy { main + &site.text } else { main };
        fs::write(path("site.conf"), site.text).unwrap();
        fs::write(path("main.conf"), main).unwrap();

        let mut command = Command::new(self.program());
        match self {
            Self::Nginx => command.args(["-p", &path(""), "-c", &path("main.conf"), "-e", "stderr"]),
            Self::Apache => command.args(["-D", "FOREGROUND", "-f", &path("main.conf")]),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config", &path("main.conf")]),
        };
        command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
            for entry in fs::read_dir(folder.path()).unwrap() {
                chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
            }
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let output = File::create(path("output.log")).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap();
        RunningProxy { child, folder }
    }
}

/// A proxy that runs. It is killed when it is dropped.
pub(crate) struct RunningProxy {
    child: Child,
    folder: TempDir,
}

impl RunningProxy {
    /// What it has said so far.
    pub(crate) fn output(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output.log") + &read("error.log")
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        // Asked, rather than killed, it takes its workers with it.
        let _ =
            rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM);
        for _ in 0..100 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts the files of the certificate into an example.
fn with_certificate(site: Example, folder: &Path) -> Example {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    site.with("/etc/letsencrypt/live/sync.example.com/fullchain.pem", &path("cert.pem"))
        .with("/etc/letsencrypt/live/sync.example.com/privkey.pem", &path("key.pem"))
}

fn nginx(folder: &Path, prefix: &str, listen: SocketAddr) -> (Example, String) {
    let site = Example::read("nginx.conf")
        .under_a_path(prefix, "location / {", "location ~ ^/sync(/|$) {")
        .with("listen 443 ssl;", &format!("listen {listen} ssl;"))
        // There need not be any IPv6 where tests run.
        .with("listen [::]:443 ssl;", "");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    let main = format!(
        "daemon off;\npid {0}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\nevents {{}}\n\
         http {{\n    access_log off;\n{temporary}    include {0}/site.conf;\n}}\n",
        folder.display(),
    );
    (with_certificate(site, folder), main)
}

fn apache(folder: &Path, prefix: &str, listen: SocketAddr) -> (Example, String) {
    let site = Example::read("apache.conf")
        .under_a_path(
            prefix,
            "ProxyPass / http://127.0.0.1:8000/ nocanon connectiontimeout=5 timeout=120",
            "ProxyPass /sync http://127.0.0.1:8000/sync nocanon connectiontimeout=5 timeout=120",
        )
        .with("<VirtualHost *:443>", &format!("<VirtualHost *:{}>", listen.port()));
    // Those that the comment in the example enables, and those that they need; Debian has the others on by itself.
    let enabled = site.text.split("a2enmod ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let modules: String = ["mpm_event", "authz_core", "socache_shmcb"]
        .into_iter()
        .chain(enabled.split(' '))
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let main = format!(
        "ServerRoot {0}\nDefaultRuntimeDir {0}\nPidFile {0}/apache.pid\nServerName localhost\nMutex file:{0}\n\
         ErrorLog {0}/error.log\n{modules}Listen {listen}\nInclude {0}/site.conf\n",
        folder.display(),
    );
    (with_certificate(site, folder), main)
}

fn caddy(folder: &Path, prefix: &str, listen: SocketAddr) -> (Example, String) {
    let address = format!(
        "https://{NAME}:{} {{\n\tbind {}\n\ttls {2}/cert.pem {2}/key.pem",
        listen.port(),
        listen.ip(),
        folder.display(),
    );
    let site = Example::read("Caddyfile")
        .under_a_path(
            prefix,
            "reverse_proxy 127.0.0.1:8000 {",
            "@sync path /sync /sync/*\n\treverse_proxy @sync 127.0.0.1:8000 {",
        )
        .with("sync.example.com {", &address);
    (site, "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n".to_owned())
}
