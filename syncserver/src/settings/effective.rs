//! The settings as they hold, each with where it came from: for an operator who asks why the server does what it does.

use serde::Serialize;
use serde_json::{Value, json};

use super::names::{COLLECTIONS, HAVE_A_FILE};
use super::read::Values;
use super::reference::{Setting, settings};
use super::{Settings, secret_file};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// The parameters of a database's URL whose values are no secrets.
const SHOWN_PARAMETERS: [&str; 7] = ["host", "port", "socket", "sslmode", "ssl-mode", "sslrootcert", "ssl-ca"];

/// A setting as it holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effective {
    /// Its name, with that of its section before it.
    pub name: String,
    /// Its name in the environment.
    pub variable: String,
    /// What it is; null where it is not set and has no default. Secrets are hidden.
    pub value: Value,
    /// Where that came from.
    pub source: String,
    /// Whether the operator has set it.
    #[serde(skip)]
    pub is_set: bool,
}

impl Effective {
    /// A line of a settings file, which is a comment where nothing was set, or a secret.
    #[must_use]
    pub fn line(&self) -> String {
        let name = self.name.rsplit('.').next().unwrap_or_default();
        let is_hidden = self.value.as_str().is_some_and(|text| text.contains(HIDDEN));
        let value = toml::Value::try_from(&self.value).map(|value| value.to_string()).unwrap_or_default();
        let hash = if self.is_set && !is_hidden { "" } else { "#" };
        format!("{hash}{name} = {value}  # {}", self.source)
    }

    /// The section that it stands in; empty: none.
    #[must_use]
    pub fn section(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(section, _)| section)
    }
}

/// All settings, in the order of the reference. `of` was made from `values`.
pub(super) fn effective(values: &Values, of: &Settings) -> Vec<Effective> {
    let each = |setting: &Setting| {
        let is_set = values.is_set(&setting.path);
        let (value, source) = if is_set {
            (given(values, setting), values.name(&setting.path))
        } else {
            match unset(&setting.path, of) {
                Some((value, source)) => (value, source),
                None if setting.default.is_some() => (given(values, setting), "default".to_owned()),
                None => (Value::Null, "not set".to_owned()),
            }
        };
        Effective { name: setting.path.clone(), variable: setting.variable.clone(), value, source, is_set }
    };
    settings().iter().map(each).collect()
}

/// What a setting is that has a value, as the type that it has in the reference.
fn given(values: &Values, setting: &Setting) -> Value {
    let path = setting.path.as_str();
    // Valid by now: what could be wrong with one was found before.
    if path.ends_with("database_url") {
        return json!(values.text(path).map(without_password).unwrap_or_default());
    }
    if HAVE_A_FILE.contains(&path) || path == "sentry_dsn" {
        // The one secret that has a default: an empty list.
        return if values.is_set(path) { json!(HIDDEN) } else { json!([]) };
    }
    if path == COLLECTIONS {
        return values.json(path).ok().flatten().unwrap_or_default();
    }
    let kind =
        format!("value = {}", setting.shape).parse::<toml::Table>().ok().and_then(|table| table.get("value").cloned());
    match kind {
        Some(toml::Value::Integer(_)) => json!(values.whole::<u64>(path, 0..=u64::MAX).unwrap_or_default()),
        Some(toml::Value::Boolean(_)) => json!(values.flag(path).unwrap_or_default()),
        Some(toml::Value::Float(_)) => json!(values.part(path).unwrap_or_default()),
        Some(toml::Value::Array(_)) => json!(values.list(path).unwrap_or_default()),
        _ => match values.list(path) {
            // A text that may also be a list, which it was given as.
            Ok(list) if !list.is_empty() && values.text(path).is_err() => json!(list),
            _ => json!(values.text(path).unwrap_or_default()),
        },
    }
}

/// What a setting comes to that is not set, where that takes more than a look at the reference.
fn unset(path: &str, of: &Settings) -> Option<(Value, String)> {
    let secret = || secret_file::master_secret_file(&of.data_dir).display().to_string();
    let (value, source) = match path {
        "public_url" => (json!(of.public_url.to_string()), "from init_node_url, or host and port".to_owned()),
        "data_dir" => (json!(of.data_dir), "from the environment: STATE_DIRECTORY, XDG_DATA_HOME or HOME".to_owned()),
        "human_logs" => (json!(of.human_logs), "from what the standard error stream is now".to_owned()),
        "workers" => (json!(of.workers), "from the processor cores of this machine".to_owned()),
        "master_secret" => (Value::Null, format!("not set; on SQLite the server keeps one in {}", secret())),
        "syncstorage.database_url" => {
            (json!(without_password(of.syncstorage.database.url.expose())), "a file in data_dir".to_owned())
        }
        "tokenserver.database_url" => {
            (json!(without_password(of.tokenserver.database.url.expose())), "as syncstorage.database_url".to_owned())
        }
        "tokenserver.node_type" => (Value::Null, "not set; by the kind of the storage's database".to_owned()),
        "tokenserver.fxa_metrics_hash_secret" => (Value::Null, "not set; derived from the master secret".to_owned()),
        _ => return None,
    };
    Some((value, source))
}

/// A database's URL without what nobody should see: the password, before the host or among the parameters.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // A path, or a URL that is misspelt.
        return url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("{HIDDEN}@{rest}"));
    };
    // A password may hold anything that was not percent-encoded.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let user = user.map_or_else(String::new, |user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}@"),
        None => format!("{user}@"),
    });
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    let parameters = parameters.map_or_else(String::new, |all| {
        let each = all.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if !SHOWN_PARAMETERS.contains(&name) => format!("{name}={HIDDEN}"),
            _ => parameter.to_owned(),
        });
        format!("?{}", each.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{user}{place}{parameters}")
}

#[cfg(test)]
mod tests {
    use super::super::dump;
    use super::super::reference::tests::uncommented;
    use super::*;

    fn of<'a>(all: &'a [Effective], name: &str) -> &'a Effective {
        all.iter().find(|one| one.name == name).unwrap()
    }

    #[test]
    fn a_password_is_hidden_also_where_the_url_is_misspelt() {
        for (url, shown) in [
            ("/var/lib/sync.db", "/var/lib/sync.db"),
            ("postgres://me:secret@h/db?sslmode=require", "postgres://me:***@h/db?sslmode=require"),
            ("postgres:/me:secret@h/db", "***@h/db"),
            ("me:secret@h/db", "***@h/db"),
        ] {
            assert_eq!(without_password(url), shown.replace("***", HIDDEN), "{url}");
        }
    }

    #[test]
    fn each_value_says_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.toml");
        std::fs::write(&file, "host = \"0.0.0.0\"\nport = 1\n[syncstorage.limits]\ncollections = { tabs = { max_post_bytes = 5 , max_record_payload_bytes = 4 } }\n").unwrap();
        let variables = [("SYNC_PORT", "8001"), ("SYNC_TRUSTED_PROXIES", "10.0.0.1, ::1"), ("HOME", "/home/me")];
        let all = dump(Some(&file), variables).unwrap();
        assert_eq!(of(&all, "host").value, "0.0.0.0");
        assert_eq!(of(&all, "host").source, format!("host in {}", file.display()));
        let port = of(&all, "port");
        assert_eq!(
            (&port.value, port.source.as_str(), port.variable.as_str()),
            (&json!(8001), "SYNC_PORT", "SYNC_PORT")
        );
        assert_eq!(of(&all, "trusted_proxies").value, json!(["10.0.0.1", "::1"]));
        assert_eq!(of(&all, "purge_interval").line(), "#purge_interval = 3600  # default");
        assert_eq!(of(&all, "public_url").value, "http://127.0.0.1:8001");
        assert_eq!(of(&all, "syncstorage.database_url").value, "/home/me/.local/share/syncserver/sync.db");
        assert_eq!(of(&all, "tokenserver.max_users").line(), "#max_users =   # not set");
        let collections = of(&all, "syncstorage.limits.collections");
        assert_eq!(collections.value["tabs"]["max_post_bytes"], 5);
        assert_eq!(collections.section(), "syncstorage.limits");
    }

    #[test]
    fn nothing_secret_is_shown_wherever_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "hush-hush\n").unwrap();
        let variables = [
            ("SYNC_MASTER_SECRET_FILE", secret.to_str().unwrap()),
            ("SYNC_PREVIOUS_MASTER_SECRETS", "hush-hush, hush"),
            ("SYNC_METRICS_TOKEN", "hush-hush"),
            ("SENTRY_DSN", "https://hush-hush@sentry.example.com/1"),
            ("SYNC_TOKENSERVER__FXA_METRICS_HASH_SECRET", "hush-hush"),
            ("SYNC_SYNCSTORAGE__DATABASE_URL", "postgres://me:hush-hush@host/db?sslmode=require"),
            ("SYNC_TOKENSERVER__DATABASE_URL", "mysql://me:hush-hush@/@host/db?password=hush-hush&x=1"),
        ];
        let all = dump(None, variables).unwrap();
        let text = all.iter().map(Effective::line).collect::<String>() + &serde_json::to_string(&all).unwrap();
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(of(&all, "syncstorage.database_url").value, "postgres://me:(hidden)@host/db?sslmode=require");
        assert_eq!(
            of(&all, "tokenserver.database_url").value,
            "mysql://me:(hidden)@host/db?password=(hidden)&x=(hidden)"
        );
        assert_eq!(of(&all, "master_secret").line(), "#master_secret = \"(hidden)\"  # SYNC_MASTER_SECRET_FILE");
    }

    #[test]
    fn the_whole_of_it_is_a_settings_file_that_means_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my.toml");
        std::fs::write(&file, uncommented()).unwrap();
        let first = dump(Some(&file), [("HOME", "/home/me")]).unwrap();
        let mut text = String::new();
        let mut section = String::new();
        for one in &first {
            if one.section() != section {
                section = one.section().to_owned();
                text += &format!("[{section}]\n");
            }
            text += &one.line();
            text += "\n";
        }
        std::fs::write(&file, &text).unwrap();
        let second = dump(Some(&file), [("HOME", "/home/me")]).unwrap();
        for (first, second) in first.iter().zip(&second) {
            if first.value != HIDDEN {
                assert_eq!(first.value, second.value, "{}", first.name);
            }
        }
    }
}
