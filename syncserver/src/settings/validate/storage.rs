//! The section `[syncstorage]`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use syncstorage_db_common::{CollectionName, Quota};

use super::super::error::SettingsError;
use super::super::names::COLLECTIONS;
use super::super::read::Values;
use super::super::secret::Secret;
use super::super::types::{DatabaseSettings, Limits, SizeLimits, SyncstorageSettings};

/// The largest number that every JSON parser reads exactly: clients read the limits.
const LARGEST: u64 = (1 << 53) - 1;

/// More connections than any database takes.
pub(super) const MOST_CONNECTIONS: u64 = 65_536;

pub(super) fn settings(values: &Values, data_dir: &Path) -> Result<SyncstorageSettings, SettingsError> {
    let enforce = values.flag("syncstorage.enforce_quota")?;
    let enable = values.flag("syncstorage.enable_quota")?;
    let quota = Quota { limit: values.whole("syncstorage.limits.max_quota_limit", 1..=LARGEST)?, enforce };
    Ok(SyncstorageSettings {
        enabled: values.flag("syncstorage.enabled")?,
        database: database(values, data_dir)?,
        limits: limits(values)?,
        quota: (enable || enforce).then_some(quota),
        lbheartbeat_ttl: values.optional_seconds("syncstorage.lbheartbeat_ttl", 1)?,
        lbheartbeat_ttl_jitter: values.whole("syncstorage.lbheartbeat_ttl_jitter", 0..=100)?,
    })
}

fn database(values: &Values, data_dir: &Path) -> Result<DatabaseSettings, SettingsError> {
    let url = match values.secret("syncstorage.database_url")? {
        Some(url) => url,
        None => {
            let file = data_dir.join("sync.db");
            let file = file
                .to_str()
                .ok_or_else(|| values.invalid("data_dir", "a path in UTF-8", format_args!("{}", data_dir.display())))?;
            Secret::new(file)
        }
    };
    Ok(DatabaseSettings {
        url,
        pool_max_size: values.whole("syncstorage.database_pool_max_size", 1..=MOST_CONNECTIONS)?,
        connection_timeout: values.seconds("syncstorage.database_pool_connection_timeout", 1)?,
        connection_lifespan: values.optional_seconds("syncstorage.database_pool_connection_lifespan", 1)?,
        connection_max_idle: values.optional_seconds("syncstorage.database_pool_connection_max_idle", 1)?,
    })
}

fn limits(values: &Values) -> Result<Limits, SettingsError> {
    let number = |name: &str| values.whole(&format!("syncstorage.limits.{name}"), 1..=LARGEST);
    let name = |name: &str| values.name(&format!("syncstorage.limits.{name}"));
    let sizes = SizeLimits {
        max_record_payload_bytes: number("max_record_payload_bytes")?,
        max_post_bytes: number("max_post_bytes")?,
        max_request_bytes: number("max_request_bytes")?,
    };
    let limits = Limits {
        max_post_records: number("max_post_records")?,
        max_total_bytes: number("max_total_bytes")?,
        max_total_records: number("max_total_records")?,
        sizes,
        collections: collections(values, sizes)?,
    };
    let ordered = [
        ("max_record_payload_bytes", sizes.max_record_payload_bytes, "max_post_bytes", sizes.max_post_bytes),
        ("max_post_bytes", sizes.max_post_bytes, "max_request_bytes", sizes.max_request_bytes),
        ("max_post_bytes", sizes.max_post_bytes, "max_total_bytes", limits.max_total_bytes),
        ("max_post_records", limits.max_post_records, "max_total_records", limits.max_total_records),
    ];
    for (small, less, large, more) in ordered {
        if less > more {
            return Err(SettingsError::Contradiction(format!(
                "{} is {less}, more than {}, which is {more}; lower the first or raise the second",
                name(small),
                name(large),
            )));
        }
    }
    for (collection, sizes) in &limits.collections {
        let ordered = [
            ("max_record_payload_bytes", sizes.max_record_payload_bytes, "max_post_bytes", sizes.max_post_bytes),
            ("max_post_bytes", sizes.max_post_bytes, "max_request_bytes", sizes.max_request_bytes),
            ("max_post_bytes", sizes.max_post_bytes, "max_total_bytes", limits.max_total_bytes),
        ];
        for (small, less, large, more) in ordered {
            if less > more {
                return Err(SettingsError::Contradiction(format!(
                    "{} leaves the collection {collection} with {small} {less}, more than {large}, which is {more}; \
                     give it values of its own for both that go together",
                    values.name(COLLECTIONS),
                )));
            }
        }
    }
    Ok(limits)
}

/// The limits of one collection, as given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnSizes {
    max_record_payload_bytes: Option<u64>,
    max_post_bytes: Option<u64>,
    max_request_bytes: Option<u64>,
}

fn collections(values: &Values, general: SizeLimits) -> Result<BTreeMap<CollectionName, SizeLimits>, SettingsError> {
    let Some(json) = values.json(COLLECTIONS)? else { return Ok(BTreeMap::new()) };
    let serde_json::Value::Object(collections) = json else {
        return Err(values.invalid(COLLECTIONS, "an object with collections for names", "another value"));
    };
    let limits = |(name, own): (String, serde_json::Value)| {
        let collection = CollectionName::new(name.as_str())
            .map_err(|_| values.invalid(COLLECTIONS, "limits by collection", format_args!("the name {name:?}")))?;
        let own: OwnSizes = serde_json::from_value(own).map_err(|error| {
            let expected = "objects with max_record_payload_bytes, max_post_bytes and max_request_bytes, any of them";
            values.invalid(COLLECTIONS, expected, format_args!("for {name}: {error}"))
        })?;
        let in_range = |own: Option<u64>, general: u64| match own {
            Some(own) if (1..=LARGEST).contains(&own) => Ok(own),
            Some(own) => {
                let expected = format_args!("numbers from 1 to {LARGEST}");
                Err(values.invalid(COLLECTIONS, expected, format_args!("for {name}: {own}")))
            }
            None => Ok(general),
        };
        let sizes = SizeLimits {
            max_record_payload_bytes: in_range(own.max_record_payload_bytes, general.max_record_payload_bytes)?,
            max_post_bytes: in_range(own.max_post_bytes, general.max_post_bytes)?,
            max_request_bytes: in_range(own.max_request_bytes, general.max_request_bytes)?,
        };
        Ok((collection, sizes))
    };
    collections.into_iter().map(limits).collect()
}
