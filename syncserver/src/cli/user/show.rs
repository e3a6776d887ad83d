//! `syncserver user show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use syncstorage_db_common::{Precondition, Quota, UserId};
use tokenserver_db_common::{AccountEntry, DeviceEntry, UserEntry, Verdict};

use super::Whom;
use super::find::User;
use super::list::{AccountLine, account_of, reason};
use crate::causes::chain;
use crate::cli::format::{bytes, clean, time, timestamp};
use crate::cli::operator::{Operator, failed};
use crate::cli::output::{Table, print, print_json};

/// Whom to show, and how.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// All that is known, as JSON has it. Where the account is no user, only `account`.
#[derive(Serialize)]
struct Shown {
    account: Option<AccountLine>,
    email: String,
    uid: Option<i64>,
    node: Option<String>,
    retired: bool,
    rows: Vec<Row>,
    devices: Vec<Device>,
    storage: Option<Storage>,
}

#[derive(Serialize)]
struct Row {
    uid: i64,
    node: Option<String>,
    generation: i64,
    keys_changed_at: Option<i64>,
    client_state: String,
    created: Option<String>,
    replaced: Option<String>,
}

#[derive(Serialize)]
struct Device {
    name: String,
    user_agent: String,
    first_seen: Option<String>,
    last_seen: Option<String>,
}

/// What a user has stored; `None` in [`Shown`] where that is on another node.
#[derive(Serialize)]
struct Storage {
    last_write: Option<String>,
    bytes: u64,
    quota: Option<QuotaLine>,
    collections: Vec<Collection>,
}

#[derive(Serialize)]
struct QuotaLine {
    bytes: u64,
    enforced: bool,
}

#[derive(Clone, Serialize)]
struct Collection {
    name: String,
    last_write: Option<String>,
    records: u64,
    bytes: u64,
    #[serde(skip)]
    last_write_ms: i64,
}

pub(super) async fn run(operator: &Operator<'_>, Arguments { whom, json }: Arguments) -> Result<(), String> {
    let user = operator.find(&whom.user).await?;
    let email = match &user {
        Some(user) => user.email.clone(),
        None => operator.account(&whom.user).await?,
    };
    let account = operator.databases.admin.account(&email).await.map_err(failed)?;
    let Some(user) = user else {
        let Some(account) = account else {
            return Err(format!("{} is no user, and has not been refused either", clean(&whom.user)));
        };
        if json {
            return print_json(&Shown {
                account: Some(AccountLine::from(&account)),
                email,
                uid: None,
                node: None,
                retired: false,
                rows: Vec::new(),
                devices: Vec::new(),
                storage: None,
            });
        }
        let mut text = format!("{} is not a user.\n", clean(account_of(&email)));
        said(&mut text, &account);
        return print(&text);
    };
    let uid = user.current.row.uid;
    let devices = operator.databases.admin.devices(uid).await.map_err(failed)?;
    let storage = match operator.is_here(user.current.home.as_ref()) {
        true => Some(storage(operator, uid).await?),
        false => None,
    };
    if json {
        let row = |entry: &UserEntry| Row {
            uid: entry.row.uid.get(),
            node: entry.home.as_ref().map(|node| operator.url(node).to_owned()),
            generation: entry.row.generation,
            keys_changed_at: entry.row.keys_changed_at,
            client_state: entry.row.client_state.clone(),
            created: timestamp(entry.row.created_at),
            replaced: entry.row.replaced_at.and_then(timestamp),
        };
        return print_json(&Shown {
            account: account.as_ref().map(AccountLine::from),
            email,
            uid: Some(uid.get()),
            node: user.current.home.as_ref().map(|node| operator.url(node).to_owned()),
            retired: user.current.row.is_retired(),
            rows: user.rows.iter().map(row).collect(),
            devices: devices.iter().map(device).collect(),
            storage,
        });
    }
    print(&text(operator, &user, account.as_ref(), &devices, storage.as_ref()))
}

fn device(entry: &DeviceEntry) -> Device {
    Device {
        name: entry.agent.name(),
        user_agent: entry.agent.user_agent().to_owned(),
        first_seen: timestamp(entry.first_seen),
        last_seen: timestamp(entry.last_seen),
    }
}

async fn storage(operator: &Operator<'_>, uid: UserId) -> Result<Storage, String> {
    let db = &operator.databases.storage;
    let failed = |error| format!("the storage failed: {}", chain(&error));
    let any = Precondition::None;
    let times = db.info_collections(uid, any).await.map_err(failed)?;
    let counts: BTreeMap<_, _> = db.info_collection_counts(uid, any).await.map_err(failed)?.value.into_iter().collect();
    let sizes: BTreeMap<_, _> = db.info_collection_usage(uid, any).await.map_err(failed)?.value.into_iter().collect();
    let collection = |(name, time): &(_, syncstorage_db_common::SyncTimestamp)| {
        let name: &syncstorage_db_common::CollectionName = name;
        Collection {
            name: name.to_string(),
            last_write: timestamp(time.as_ms()),
            records: counts.get(name).copied().unwrap_or(0),
            bytes: sizes.get(name).copied().unwrap_or(0),
            last_write_ms: time.as_ms(),
        }
    };
    let mut collections: Vec<Collection> = times.value.iter().map(collection).collect();
    collections.sort_by(|one, other| one.name.cmp(&other.name));
    let quota = operator.settings.syncstorage.quota;
    Ok(Storage {
        last_write: Some(times.last_modified.as_ms()).filter(|ms| *ms > 0).and_then(timestamp),
        bytes: sizes.values().sum(),
        quota: quota.map(|Quota { limit, enforce }| QuotaLine { bytes: limit, enforced: enforce }),
        collections,
    })
}

fn text(
    operator: &Operator<'_>,
    user: &User,
    account: Option<&AccountEntry>,
    devices: &[DeviceEntry],
    storage: Option<&Storage>,
) -> String {
    let row = &user.current.row;
    let node = user.current.home.as_ref().map_or("a node that is gone", |node| operator.url(node));
    let mut text = format!(
        "Account  {}\nKnown as {}\nUID      {}, on {}\nCreated  {} UTC\n",
        clean(account_of(&user.email)),
        clean(&user.email),
        row.uid,
        clean(node),
        time(Some(row.created_at)),
    );
    if row.is_retired() {
        text.push_str("Retired: the account is gone, nobody is let in, and the data goes with a purge.\n");
    } else if let Some(at) = row.replaced_at {
        line(
            &mut text,
            &format!("Out of use since {} UTC: gets new, empty storage at the next sign-in.", time(Some(at))),
        );
    }
    if let Some(account) = account {
        said(&mut text, account);
    }
    if user.rows.len() > 1 {
        text.push_str("\nEarlier rows (of earlier keys or nodes)\n");
        let mut table = Table::new(&["UID", "NODE", "CREATED (UTC)", "REPLACED"]);
        for entry in user.rows.iter().filter(|entry| entry.row.uid != row.uid) {
            table.row([
                entry.row.uid.to_string(),
                entry.home.as_ref().map_or_else(|| "(gone)".to_owned(), |node| clean(operator.url(node))),
                time(Some(entry.row.created_at)),
                time(entry.row.replaced_at),
            ]);
        }
        text.push_str(&table.to_text());
    }
    text.push_str("\nDevices (one line for all of a kind)\n");
    if devices.is_empty() {
        text.push_str("none seen so far\n");
    } else {
        let mut table = Table::new(&["DEVICE", "FIRST SEEN (UTC)", "LAST SEEN", "USER AGENT"]);
        for device in devices {
            table.row([
                device.agent.name(),
                time(Some(device.first_seen)),
                time(Some(device.last_seen)),
                device.agent.user_agent().to_owned(),
            ]);
        }
        text.push_str(&table.to_text());
    }
    text.push_str("\nStorage\n");
    match storage {
        None => line(&mut text, &format!("It is on {}: ask there.", clean(node))),
        Some(storage) => stored(&mut text, storage),
    }
    text
}

fn stored(text: &mut String, storage: &Storage) {
    if storage.collections.is_empty() {
        text.push_str("nothing is stored\n");
    } else {
        let mut table = Table::new(&["COLLECTION", "LAST WRITE (UTC)", "RECORDS", "SIZE"]);
        for collection in &storage.collections {
            table.row([
                clean(&collection.name),
                time(Some(collection.last_write_ms)),
                collection.records.to_string(),
                bytes(collection.bytes),
            ]);
        }
        text.push_str(&table.to_text());
    }
    let quota = storage.quota.as_ref().map_or_else(
        || "no quota".to_owned(),
        |quota| {
            let share = storage.bytes as f64 * 100.0 / quota.bytes.max(1) as f64;
            let enforced = if quota.enforced { "" } else { ", which is not enforced" };
            format!("{share:.1} % of the quota of {}{enforced}", bytes(quota.bytes))
        },
    );
    line(text, &format!("In all {}; {quota}.", bytes(storage.bytes)));
}

/// What was said of an account, and how it was refused.
fn said(text: &mut String, account: &AccountEntry) {
    match account.verdict {
        Some(Verdict::Allowed) => line(text, &format!("Allowed  {} UTC", time(account.decided_at))),
        Some(Verdict::Denied) => line(text, &format!("Denied   {} UTC", time(account.decided_at))),
        None => {}
    }
    if account.refusals > 0 {
        let why = clean(reason(account.reason.as_deref().unwrap_or_default()));
        line(text, &format!("Refused  {} times, last {} UTC: {why}", account.refusals, time(account.refused_last)));
    }
}

fn line(text: &mut String, line: &str) {
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok(), "a String takes all that is written to it");
}
