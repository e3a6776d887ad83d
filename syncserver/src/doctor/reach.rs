//! What is reached over the network: the accounts server, and this server as clients reach it.

use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use syncstorage_db_common::Clock;

use super::Report;
use super::http::{Answer, Http, TIMEOUT, date};
use crate::loopback::Loopback;
use crate::node::authorization;
use crate::server;
use crate::settings::{BaseUrl, Secret, Settings};
use crate::token::{TokenKeys, TokenPayload};
use crate::tokenserver;

/// A clock that is wrong by more than this is wrong.
const SKEW: Duration = Duration::from_secs(60);

/// The user that requests are signed as: one that there is not. Nothing of it is written.
const NOBODY: i64 = i64::MAX;

/// How long the token for these requests is good, in seconds.
const TOKEN_SECONDS: i64 = 300;

/// Of the record that is sent to see what gets through. It is no record: it has a field that none has.
const NO_RECORD: (&str, &str) = (r#"{"payload": "", "this is no record": ""#, r#""}"#);

/// Whether the accounts server can be asked for its keys, and, since it says what time it is, whether the clock is right.
pub(super) fn accounts(settings: &Settings, http: &Http, clock: &Clock, report: &mut Report<'_>) {
    const ACCOUNTS: &str = "accounts server";
    if !settings.tokenserver.enabled {
        return;
    }
    let set = &settings.tokenserver;
    let url = format!("{}/v1/jwks", set.fxa_oauth_server_url);
    let answer = http.send("GET", &url, &[], None, false);
    let is_configured = !set.fxa_oauth_jwks.is_empty();
    match &answer {
        _ if is_configured => report.ok(ACCOUNTS, "its key is in the settings, so that it need not be asked"),
        Ok(answer) if answer.status == 200 && tokenserver::usable_keys(&answer.json()) > 0 => {
            report.ok(ACCOUNTS, format!("{url} gives its keys"));
        }
        Ok(answer) => report.fail(
            ACCOUNTS,
            format!("{url} gives no keys: it answers {} (setting: tokenserver.fxa_oauth_server_url)", answer.describe()),
        ),
        Err(error) => report.fail(
            ACCOUNTS,
            format!(
                "{url} does not answer: {error}. Nobody can sign in without it: let this machine reach it, or set its key \
                 (settings: tokenserver.fxa_oauth_server_url, [tokenserver.fxa_oauth_primary_jwk])"
            ),
        ),
    }
    if let Some(theirs) = answer.ok().and_then(|answer| date(answer.header("date"))) {
        compare_clocks(clock, theirs, report);
    }
}

fn compare_clocks(clock: &Clock, theirs: SystemTime, report: &mut Report<'_>) {
    const CLOCK: &str = "clock";
    let ours = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(clock.now_ms()).unwrap_or_default());
    let skew = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
    if skew <= SKEW {
        report.ok(CLOCK, "right within a minute, by the accounts server's");
    } else {
        report.fail(
            CLOCK,
            format!(
                "it differs by {} seconds from the accounts server's: tokens count as expired, or last too long. Have it \
                 set over the network (systemd-timesyncd, chrony)",
                skew.as_secs()
            ),
        );
    }
}

/// Whether the server answers here and at its public URL, and what gets through to it.
pub(super) fn server(settings: &Settings, secret: Option<&Secret>, http: &Http, report: &mut Report<'_>) {
    const LISTENER: &str = "listener";
    const PUBLIC: &str = "public_url";
    let public = settings.public_url.to_string();
    let loopback = Loopback::of(settings, TIMEOUT);
    let listener = loopback.url("");
    // Not by `http`: a certificate is for the public name.
    let answer = loopback.get(&version_path());
    let here = match itself(answer.map(|(status, body)| Answer { status, body, headers: ureq::http::HeaderMap::new() }))
    {
        Ok(here) => {
            report.ok(LISTENER, format!("a server answers at {listener}"));
            here
        }
        Err(why) => {
            report.fail(
                LISTENER,
                format!(
                    "no syncserver answers at {listener}: {why}. Start it, and give this command the settings that it has \
                     (settings: host, port)"
                ),
            );
            report.skip(PUBLIC, "asked for when the server runs");
            return;
        }
    };
    // A server of an older version does not tell.
    if let Some(theirs) = here.public_url.filter(|theirs| *theirs != public) {
        report.fail(
            PUBLIC,
            format!(
                "the server runs with another public_url: it sends clients to {theirs}, and the settings of this command say \
                 {public}. Restart the server, if the setting was changed, or give this command the settings that the \
                 server has (setting: public_url; SYNC_PUBLIC_URL)"
            ),
        );
        return;
    }
    let url = format!("{public}{}", version_path());
    match itself(http.send("GET", &url, &[], None, is_local(&settings.public_url.host))) {
        Ok(there) if there.instance == here.instance => report.ok(PUBLIC, format!("{public} leads to this very server")),
        Ok(_) => report.warn(
            PUBLIC,
            format!(
                "{public} leads to another process than {listener}. That is right where several servers share the work; \
                 else the name, the port or the proxy leads elsewhere"
            ),
        ),
        Err(why) => {
            report.fail(
                PUBLIC,
                format!(
                    "clients cannot reach the server: {public}/__version__: {why}. Check the name, the port, the proxy and its \
                     certificate; the setting is public_url (SYNC_PUBLIC_URL)"
                ),
            );
            return;
        }
    }
    let is_for_others = !is_local(&settings.public_url.host) || !is_local(&settings.host);
    if is_for_others && !settings.public_url.explicit {
        report.warn(PUBLIC, format!("not set, so that clients are sent to {public}: set it to the URL that they use"));
    }
    if settings.tokenserver.enabled {
        sign_in(http, settings, report);
    }
    if settings.syncstorage.enabled {
        match secret {
            Some(secret) => signed(http, settings, secret, report),
            None => report.skip("signatures", "they take the master secret"),
        }
    }
}

/// Where a server tells which process it is.
fn version_path() -> String {
    let mut nonce = [0; 8];
    // Without random numbers it is always the same, which only a cache would mind.
    let _ = SystemRandom::new().fill(&mut nonce);
    format!("/__version__?nonce={:016x}", u64::from_ne_bytes(nonce))
}

/// What a server says of itself.
struct Itself {
    /// Which process it is.
    instance: String,
    /// Where it sends clients.
    public_url: Option<String>,
}

fn itself(answer: Result<Answer, String>) -> Result<Itself, String> {
    let answer = answer?;
    let json = answer.json();
    let text = |name| json.get(name).and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
    match text("instance") {
        Some(instance) if answer.status == 200 => Ok(Itself { instance, public_url: text("public_url") }),
        _ => Err(format!("something else than this server answers {}", answer.describe())),
    }
}

/// Whether the tokenserver is reached: it refuses a request without an access token in its own words.
fn sign_in(http: &Http, settings: &Settings, report: &mut Report<'_>) {
    const SIGN_IN: &str = "sign-in";
    let url = format!("{}/1.0/sync/1.5", settings.public_url);
    match http.send("GET", &url, &[], None, is_local(&settings.public_url.host)) {
        Ok(answer) if answer.status == 401 && answer.json()["status"] == "error" => {
            report.ok(SIGN_IN, format!("the tokenserver answers at {url}"));
        }
        Ok(answer) => report.fail(
            SIGN_IN,
            format!(
                "{url} answers {}; expected 401 in the tokenserver's form. Does the proxy pass on every path?",
                answer.describe()
            ),
        ),
        Err(error) => report.fail(SIGN_IN, format!("{url} does not answer: {error}")),
    }
}

/// Whether requests that are signed as clients sign them are accepted, and how large they may be.
fn signed(http: &Http, settings: &Settings, secret: &Secret, report: &mut Report<'_>) {
    const SIGNATURES: &str = "signatures";
    const PATHS: &str = "paths";
    let set = settings.syncstorage.limits.sizes.max_request_bytes;
    let client = Client { http, base: &settings.public_url, keys: server::token_keys(secret.expose(), settings) };
    let told = match client.send("GET", "/info/configuration", None) {
        Ok(answer) if answer.status == 200 => {
            let (host, port) = (&settings.public_url.host, settings.public_url.port);
            report.ok(SIGNATURES, format!("what clients sign for {host}, port {port}, is accepted"));
            answer.json()["max_request_bytes"].as_u64().unwrap_or(set)
        }
        Ok(answer) if answer.status == 401 => {
            report.fail(
                SIGNATURES,
                "a request that is signed for public_url with the master secret of these settings is refused (401), as every \
                 client's would be. The server's log says why: it has another master secret than this command, or the \
                 proxy changes host, port or path (settings: public_url, master_secret)",
            );
            return;
        }
        Ok(answer) => return report.fail(SIGNATURES, format!("expected 200, the answer is {}", answer.describe())),
        Err(error) => return report.fail(SIGNATURES, error),
    };
    // What stands in ids of records: the proxy must neither decode nor encode any of it.
    match client.send("GET", "/storage/doctor/%7Ba%2Fb%7D%20c==?full=1&ids=%7Bx%7D,y", None) {
        Ok(answer) if answer.status == 404 => report.ok(PATHS, "they arrive as they were sent"),
        Ok(answer) => report.fail(
            PATHS,
            format!(
                "a path with percent-encoded characters is answered {}; expected 404 of this server: the proxy must pass on \
                 paths as they come",
                answer.describe()
            ),
        ),
        Err(error) => report.fail(PATHS, error),
    }
    largest_body(&client, told, set, report);
}

/// Whether a body of the size that the server has told gets through; `set`: the size of the settings.
fn largest_body(client: &Client<'_>, told: u64, set: u64, report: &mut Report<'_>) {
    const BODY: &str = "body size";
    let (before, after) = NO_RECORD;
    let filler = usize::try_from(told).unwrap_or(usize::MAX).saturating_sub(before.len() + after.len());
    let body = format!("{before}{}{after}", "x".repeat(filler));
    match client.send("PUT", "/storage/doctor/size", Some(&body)) {
        Ok(answer) if answer.status == 400 && !answer.header("x-weave-timestamp").is_empty() => {
            let through = format!("{told} bytes, the limit that clients are told, get through");
            match told == set {
                true => report.ok(BODY, through),
                false => report.warn(
                    BODY,
                    format!(
                        "{through}; but the settings of this command say {set}. Restart the server, if the setting was \
                         changed, or give this command the settings that the server has (setting: \
                         syncstorage.limits.max_request_bytes)"
                    ),
                ),
            }
        }
        Ok(answer) => report.fail(
            BODY,
            format!(
                "a body of {told} bytes, the limit that clients are told, does not get through: the answer is {}. Let the \
                 proxy take as much (nginx: client_max_body_size {}m), or lower syncstorage.limits.max_request_bytes",
                answer.describe(),
                told.div_ceil(1 << 20)
            ),
        ),
        Err(error) => report.fail(BODY, format!("a body of {told} bytes does not get through: {error}")),
    }
}

/// A client of the storage.
struct Client<'a> {
    http: &'a Http,
    base: &'a BaseUrl,
    keys: TokenKeys,
}

impl Client<'_> {
    /// `target`: behind the path of the user.
    fn send(&self, method: &str, target: &str, body: Option<&str>) -> Result<Answer, String> {
        let now_ms = Clock::system().now_ms();
        let payload = TokenPayload {
            uid: NOBODY,
            node: self.base.to_string(),
            expires: (now_ms / 1000 + TOKEN_SECONDS) as f64,
            ..TokenPayload::default()
        };
        let token = self.keys.mint(payload).ok_or("the system has no random numbers")?;
        let path = format!("/1.5/{NOBODY}{target}");
        let header = authorization(&token, method, self.base, &path, now_ms).map_err(|error| error.to_string())?;
        let headers = [("Authorization", header.as_str()), ("Content-Type", "application/json")];
        let url = format!("{}{path}", self.base);
        let answer = self.http.send(method, &url, &headers, body, is_local(&self.base.host));
        answer.map_err(|error| format!("{url} does not answer: {error}"))
    }
}

/// Whether a host's name or address is that of the machine itself, and of no other.
fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    fn status_of_clock(header: &str) -> Option<Status> {
        let mut told = |_: &crate::doctor::Finding| {};
        let mut report = Report { told: &mut told, findings: Vec::new() };
        // 1994-11-06 08:49:37
        let clock = Clock::new(|| 784_111_777_000);
        compare_clocks(&clock, date(header)?, &mut report);
        report.findings.first().map(|finding| finding.status)
    }

    #[test]
    fn a_clock_is_wrong_by_more_than_a_minute_on_either_side() {
        for (header, status) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(Status::Ok)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(Status::Ok)),
            ("Sun, 06 Nov 1994 08:50:38 GMT", Some(Status::Fail)),
            ("Sun, 06 Nov 1994 08:48:36 GMT", Some(Status::Fail)),
            ("yesterday", None),
        ] {
            assert_eq!(status_of_clock(header), status, "{header}");
        }
    }
}
