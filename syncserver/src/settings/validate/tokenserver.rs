//! The section `[tokenserver]`.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokenserver_db_common::is_fxa_uid;

use super::super::error::SettingsError;
use super::super::read::Values;
use super::super::types::{DatabaseSettings, Jwk, Registration, TokenserverSettings, Webhook};
use super::super::url::{BaseUrl, LONGEST_NODE};
use super::storage::MOST_CONNECTIONS;
use super::url;

pub(super) fn settings(values: &Values, storage: &DatabaseSettings) -> Result<TokenserverSettings, SettingsError> {
    let fxa_email_domain = values.text("tokenserver.fxa_email_domain")?.to_owned();
    let registration = registration(values, &fxa_email_domain)?;
    let keys = ["tokenserver.fxa_oauth_primary_jwk", "tokenserver.fxa_oauth_secondary_jwk"];
    let keys: Vec<_> = keys.into_iter().map(|section| jwk(values, section)).collect::<Result<_, _>>()?;
    Ok(TokenserverSettings {
        enabled: values.flag("tokenserver.enabled")?,
        database: database(values, storage)?,
        run_migrations: values.flag("tokenserver.run_migrations")?,
        node_type: values.optional_text("tokenserver.node_type")?.map(ToOwned::to_owned),
        init_node_url: init_node_url(values)?,
        init_node_capacity: values.whole("tokenserver.init_node_capacity", 1..=i32::MAX.unsigned_abs().into())?,
        node_capacity_release_rate: values.part("tokenserver.node_capacity_release_rate")?,
        token_duration: values.seconds("tokenserver.token_duration", 1)?,
        registration,
        max_users: values.optional_whole("tokenserver.max_users", 1..=i64::MAX.unsigned_abs())?,
        fxa_email_domain,
        fxa_oauth_server_url: oauth_server(values)?,
        fxa_oauth_request_timeout: values.seconds("tokenserver.fxa_oauth_request_timeout", 1)?,
        fxa_metrics_hash_secret: values.secret("tokenserver.fxa_metrics_hash_secret")?,
        fxa_oauth_jwks: keys.into_iter().flatten().collect(),
        fxa_webhook: webhook(values)?,
    })
}

fn database(values: &Values, storage: &DatabaseSettings) -> Result<DatabaseSettings, SettingsError> {
    Ok(DatabaseSettings {
        url: values.secret("tokenserver.database_url")?.unwrap_or_else(|| storage.url.clone()),
        pool_max_size: values.whole("tokenserver.database_pool_max_size", 1..=MOST_CONNECTIONS)?,
        connection_timeout: values.seconds("tokenserver.database_pool_connection_timeout", 1)?,
        connection_lifespan: storage.connection_lifespan,
        connection_max_idle: storage.connection_max_idle,
    })
}

fn init_node_url(values: &Values) -> Result<Option<String>, SettingsError> {
    const PATH: &str = "tokenserver.init_node_url";
    let node = url(values, PATH)?.map(|url| url.to_string());
    match node {
        Some(node) if node.len() > LONGEST_NODE => {
            Err(values.invalid(PATH, format_args!("at most {LONGEST_NODE} characters long"), node.len()))
        }
        node => Ok(node),
    }
}

fn oauth_server(values: &Values) -> Result<BaseUrl, SettingsError> {
    const PATH: &str = "tokenserver.fxa_oauth_server_url";
    let server = url(values, PATH)?.ok_or_else(|| values.invalid(PATH, "set", "nothing"))?;
    let path = server.path.strip_suffix("/v1").unwrap_or(&server.path).to_owned();
    Ok(BaseUrl { path, ..server })
}

/// Who may sign in for the first time. A list by itself restricts, as it does in deployments that know nothing else; and
/// `allow_new_users` is the older way to close.
fn registration(values: &Values, domain: &str) -> Result<Registration, SettingsError> {
    const REGISTRATION: &str = "tokenserver.registration";
    const ALLOW_NEW_USERS: &str = "tokenserver.allow_new_users";
    const ALLOW_LIST: &str = "tokenserver.allow_list";
    let expected = "\"open\", \"closed\" or \"allow_list\"";
    let word = values.parsed(REGISTRATION, expected, |text| {
        ["open", "closed", "allow_list"].into_iter().find(|word| text.trim() == *word)
    })?;
    let word = values.is_set(REGISTRATION).then_some(word);
    let allow_new_users = values.flag(ALLOW_NEW_USERS)?;
    let allow_new_users = values.is_set(ALLOW_NEW_USERS).then_some(allow_new_users);
    let allowed = allow_list(values, ALLOW_LIST, domain)?;
    if matches!((word, allow_new_users), (Some("closed"), Some(true)) | (Some("open" | "allow_list"), Some(false))) {
        return Err(SettingsError::Contradiction(format!(
            "{} and {} contradict each other; remove the second",
            values.name(REGISTRATION),
            values.name(ALLOW_NEW_USERS),
        )));
    }
    let nobody = |said_by: &str| {
        SettingsError::Contradiction(format!(
            "{} names who may sign in for the first time, but {} says that nobody may; remove one of them",
            values.name(ALLOW_LIST),
            values.name(said_by),
        ))
    };
    match (word, allow_new_users, allowed.is_empty()) {
        (Some("closed"), _, false) => Err(nobody(REGISTRATION)),
        (None, Some(false), false) => Err(nobody(ALLOW_NEW_USERS)),
        (Some("closed"), ..) | (None, Some(false), true) => Ok(Registration::Closed),
        (Some("open"), _, false) => Err(SettingsError::Contradiction(format!(
            "{} names who may sign in for the first time, but {} says that everybody may; remove one of them, or set \
             the second to \"allow_list\"",
            values.name(ALLOW_LIST),
            values.name(REGISTRATION),
        ))),
        (Some("open"), ..) | (None, _, true) => Ok(Registration::Open),
        (Some(_), ..) | (None, _, false) => Ok(Registration::AllowList(allowed)),
    }
}

/// Account ids; one may have the domain behind it that it has in the database.
fn allow_list(values: &Values, path: &str, domain: &str) -> Result<BTreeSet<String>, SettingsError> {
    let id = |entry: String| match entry.split_once('@') {
        None => Ok(entry),
        Some((id, of)) if of == domain && !id.is_empty() => Ok(id.to_owned()),
        // Otherwise the user would just be refused, with nothing to show why.
        Some(_) => Err(values.invalid(path, "a list of account ids, not e-mail addresses", format_args!("{entry:?}"))),
    };
    // So would one in capital letters.
    let as_in_tokens = |id: String| if is_fxa_uid(&id) { id.to_ascii_lowercase() } else { id };
    values.list(path)?.into_iter().map(|entry| id(entry).map(as_in_tokens)).collect()
}

fn webhook(values: &Values) -> Result<Option<Webhook>, SettingsError> {
    const CLIENT_ID: &str = "tokenserver.fxa_webhook_set_client_id";
    const ENABLED: &str = "tokenserver.fxa_webhook_enabled";
    let client_id = values.optional_text(CLIENT_ID)?;
    let metrics_only = values.flag("tokenserver.fxa_webhook_metrics_only")?;
    let set_issuer = values.text("tokenserver.fxa_webhook_set_issuer")?.to_owned();
    match (values.flag(ENABLED)?, client_id) {
        (false, _) => Ok(None),
        (true, Some(client_id)) => Ok(Some(Webhook { metrics_only, set_client_id: client_id.to_owned(), set_issuer })),
        (true, None) => Err(needed(values, CLIENT_ID, ENABLED)),
    }
}

/// A public key, if any part of it is set.
fn jwk(values: &Values, section: &str) -> Result<Option<Jwk>, SettingsError> {
    let path = |name: &str| format!("{section}.{name}");
    let parts = ["kty", "alg", "kid", "fxa_created_at", "use", "n", "e"].map(path);
    let Some(given) = parts.iter().find(|part| values.is_set(part)) else { return Ok(None) };
    let fixed = |name: &str, only: &str| {
        let expected = format!("{only:?}");
        values.parsed(&path(name), &expected, |text| (text == only).then(|| text.to_owned()))
    };
    let needs = |name: &str| match values.optional_text(&path(name))? {
        Some(text) => Ok(text.to_owned()),
        None => Err(needed(values, &path(name), given)),
    };
    let number = |name: &str| {
        let text = needs(name)?;
        match URL_SAFE_NO_PAD.decode(&text) {
            Ok(_) => Ok(text),
            Err(_) => Err(values.invalid(&path(name), "URL-safe base64 without padding", "other text")),
        }
    };
    Ok(Some(Jwk {
        kty: fixed("kty", "RSA")?,
        alg: fixed("alg", "RS256")?,
        kid: needs("kid")?,
        fxa_created_at: values.optional_whole(&path("fxa_created_at"), 0..=i64::MAX.unsigned_abs())?,
        usage: fixed("use", "sig")?,
        n: number("n")?,
        e: number("e")?,
    }))
}

fn needed(values: &Values, missing: &str, since: &str) -> SettingsError {
    SettingsError::Contradiction(format!("{} must be set, since {} is", values.name(missing), values.name(since)))
}
