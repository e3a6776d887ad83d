//! What kind of device a `User-Agent` speaks of. A request for a token says nothing else of the device.

/// The longest user agent that is kept, in bytes.
pub const MAX_USER_AGENT: usize = 255;

/// The longest key, in bytes.
const MAX_KEY: usize = 150;

/// A kind of device, as a `User-Agent` describes it. Two devices with the same software and system are one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    key: String,
    user_agent: String,
}

impl Agent {
    /// Of the header's value; an absent one is empty.
    #[must_use]
    pub fn of(user_agent: &str) -> Self {
        let printable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let user_agent: String = user_agent.trim().chars().take(MAX_USER_AGENT).map(printable).collect();
        let user_agent = user_agent.trim_end().to_owned();
        Self { key: key(&user_agent), user_agent }
    }

    /// What stays the same when the program or its system is updated: the user agent without version numbers. ASCII, at
    /// most 150 characters, without spaces at its ends; empty where nothing was said.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The header's value: printable ASCII, at most [`MAX_USER_AGENT`] characters.
    #[must_use]
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// For people: `Firefox on Windows, desktop`.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.user_agent).unwrap_or_else(|| match self.key.as_str() {
            "" => "a client that does not say what it is".to_owned(),
            key => key.to_owned(),
        })
    }
}

/// Leaves out each word that begins with a digit and follows a space or one of `/`, `:`, `;` and `(`. Of a word of several parts
/// with dots between them, those that begin otherwise stay: Firefox ends its version with `.desktop`.
fn key(user_agent: &str) -> String {
    let mut key = String::new();
    let mut rest = user_agent;
    while let Some(first) = rest.chars().next() {
        let is_start = key.is_empty() || key.ends_with([' ', '/', ':', ';', '(']);
        if !(is_start && first.is_ascii_digit()) {
            key.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+')));
        let (version, after) = rest.split_at(end.unwrap_or(rest.len()));
        let words: Vec<&str> =
            version.split('.').filter(|part| part.starts_with(|c: char| c.is_ascii_alphabetic())).collect();
        if words.is_empty() {
            let before = key.trim_end_matches([' ', '/', ':']).len();
            key.truncate(before);
        } else {
            key.push_str(&words.join("."));
        }
        rest = after;
    }
    key.truncate(MAX_KEY);
    key.trim().to_owned()
}

fn name(user_agent: &str) -> Option<String> {
    let has = |word: &str| user_agent.contains(word);
    // Programs that call themselves Firefox as well come before it.
    let product = ["Thunderbird", "SeaMonkey", "PaleMoon", "Waterfox", "LibreWolf", "Fennec", "Firefox"]
        .into_iter()
        .find(|product| has(product))?;
    let is_ios = has("iPhone") || has("iPad") || has("iOS");
    // Programs for Android name Linux as well, and those for iOS the Mac that they are like.
    let system = match () {
        () if has("Android") => Some("Android"),
        () if is_ios => Some("iOS"),
        () if has("Windows") => Some("Windows"),
        () if has("Macintosh") || has("Mac OS X") => Some("macOS"),
        () if has("CrOS") => Some("ChromeOS"),
        () if has("BSD") => Some("BSD"),
        () if has("Linux") || has("X11") => Some("Linux"),
        () => None,
    };
    let form = match () {
        () if user_agent.ends_with(".desktop") => Some("desktop"),
        () if has("Tablet") || has("iPad") || user_agent.ends_with(".tablet") => Some("tablet"),
        () if has("Mobile") || has("iPhone") || user_agent.ends_with(".mobile") => Some("phone"),
        () if matches!(system, Some("Windows" | "macOS" | "Linux" | "BSD")) => Some("desktop"),
        () => None,
    };
    let system = system.map_or_else(String::new, |system| format!(" on {system}"));
    let form = form.map_or_else(String::new, |form| format!(", {form}"));
    Some(format!("{product}{system}{form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_device_is_known_by_its_user_agent_without_the_versions() {
        for (user_agent, key, name) in [
            (
                "Firefox/153.0 (Windows NT 10.0; Win64; x64; rv:153.0) FxSync/1.155.0.20260801123456.desktop",
                "Firefox (Windows NT; Win64; x64; rv) FxSync/desktop",
                "Firefox on Windows, desktop",
            ),
            (
                "Firefox/140.0 (X11; Linux x86_64; rv:140.0) FxSync/1.142.0.20250617000000.desktop",
                "Firefox (X11; Linux x86_64; rv) FxSync/desktop",
                "Firefox on Linux, desktop",
            ),
            (
                "Firefox/91.13.0 (Intel Mac OS X 10.15) FxSync/1.93.0.20220816113213.desktop",
                "Firefox (Intel Mac OS X) FxSync/desktop",
                "Firefox on macOS, desktop",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0",
                "Mozilla (X11; Linux x86_64; rv) Gecko Firefox",
                "Firefox on Linux, desktop",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Mozilla (Windows NT; Win64; x64; rv) Gecko Firefox",
                "Firefox on Windows, desktop",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Mozilla (Macintosh; Intel Mac OS X; rv) Gecko Firefox",
                "Firefox on macOS, desktop",
            ),
            (
                "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
                "Mozilla (Android; Mobile; rv) Gecko Firefox",
                "Firefox on Android, phone",
            ),
            (
                "Mozilla/5.0 (Android 13; Tablet; rv:109.0) Gecko/117.0 Firefox/117.0",
                "Mozilla (Android; Tablet; rv) Gecko Firefox",
                "Firefox on Android, tablet",
            ),
            (
                "Firefox-Android-FxAccounts/68.11.0 (Firefox)",
                "Firefox-Android-FxAccounts (Firefox)",
                "Firefox on Android",
            ),
            (
                "Firefox-iOS-Sync/128.0b45123 (iPhone; iPhone OS 17.5.1) (Firefox)",
                "Firefox-iOS-Sync (iPhone; iPhone OS) (Firefox)",
                "Firefox on iOS, phone",
            ),
            (
                "Firefox-iOS-Sync/19.2.1b12 (iPad Pro; iPhone OS 13.2.2) (Firefox)",
                "Firefox-iOS-Sync (iPad Pro; iPhone OS) (Firefox)",
                "Firefox on iOS, tablet",
            ),
            (
                "Firefox-iOS-FxA/24 (iPad13,4; iPhone OS 17_5) (Fennec)",
                "Firefox-iOS-FxA (iPad13,4; iPhone OS) (Fennec)",
                "Fennec on iOS, tablet",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
                "Mozilla (X11; Linux x86_64; rv) Gecko Thunderbird",
                "Thunderbird on Linux, desktop",
            ),
            ("python-requests/2.32.3", "python-requests", "python-requests"),
            ("curl/8.5.0", "curl", "curl"),
            ("  ", "", "a client that does not say what it is"),
            ("153.0", "", "a client that does not say what it is"),
            ("Sync\u{1}für/1.0", "Sync?f?r", "Sync?f?r"),
        ] {
            let agent = Agent::of(user_agent);
            assert_eq!((agent.key(), agent.name().as_str()), (key, name), "{user_agent}");
        }
    }

    #[test]
    fn an_update_is_the_same_device() {
        let of = |version: &str, build: &str| {
            Agent::of(&format!("Firefox/{version} (Windows NT 10.0; rv:{version}) FxSync/1.{build}.desktop"))
        };
        let (old, new) = (of("152.0.1", "154.0.20260701000000"), of("153.0", "155.0.20260801123456"));
        assert_eq!(old.key(), new.key());
        assert_ne!(old.user_agent(), new.user_agent());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_sent_fits_the_columns(text in proptest::prelude::any::<String>()) {
            let agent = Agent::of(&text);
            for (kept, most) in [(agent.key(), MAX_KEY), (agent.user_agent(), MAX_USER_AGENT)] {
                proptest::prop_assert!(kept.is_ascii() && kept.len() <= most && kept.trim() == kept);
                proptest::prop_assert!(!kept.chars().any(char::is_control));
            }
            proptest::prop_assert_eq!(Agent::of(agent.user_agent()), agent);
        }
    }
}
