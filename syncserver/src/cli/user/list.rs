//! `syncserver user list`.

use serde::Serialize;
use tokenserver_db_common::{AccountEntry, AccountFilter, UserEntry, UserFilter, Verdict};

use crate::cli::format::{bytes, clean, time, timestamp};
use crate::cli::operator::{Operator, failed};
use crate::cli::output::{Table, print, print_json};

/// So many accounts are asked for at a time.
const PAGE: u32 = 500;

/// Whom to list, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Those who have been refused and of whom nothing has been said: let them in by `user allow`.
    #[arg(long, group = "who")]
    pending: bool,
    /// The accounts that `user deny` refuses.
    #[arg(long, group = "who")]
    denied: bool,
    /// The accounts that `user allow` has let in.
    #[arg(long, group = "who")]
    allowed: bool,
    /// The users that are retired, and not yet purged.
    #[arg(long, group = "who")]
    retired: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(operator: &Operator<'_>, arguments: Arguments) -> Result<(), String> {
    let filter = match arguments {
        Arguments { pending: true, .. } => AccountFilter::Pending,
        Arguments { denied: true, .. } => AccountFilter::With(Verdict::Denied),
        Arguments { allowed: true, .. } => AccountFilter::With(Verdict::Allowed),
        Arguments { retired, json, .. } => return users(operator, retired, json).await,
    };
    accounts(operator, filter, arguments.json).await
}

/// A user, as JSON has it.
#[derive(Serialize)]
struct Line {
    uid: i64,
    account: String,
    email: String,
    node: Option<String>,
    created: Option<String>,
    last_write: Option<String>,
    bytes: Option<u64>,
    devices: u64,
    verdict: Option<&'static str>,
    replaced: Option<String>,
}

async fn users(operator: &Operator<'_>, retired: bool, json: bool) -> Result<(), String> {
    let mut entries = operator.users(&UserFilter::Current).await?;
    entries.retain(|entry| entry.row.is_retired() == retired);
    let mut lines = Vec::with_capacity(entries.len());
    let mut table = Table::new(&["UID", "ACCOUNT", "NODE", "CREATED (UTC)", "LAST WRITE", "SIZE", "DEVICES", ""]);
    for entry in &entries {
        let usage = operator.usage(entry).await?;
        let node = entry.home.as_ref().map(|node| operator.url(node).to_owned());
        let written = usage.and_then(|(written, _)| written);
        table.row([
            entry.row.uid.to_string(),
            clean(account_of(&entry.email)),
            node.clone().map_or_else(|| "(gone)".to_owned(), |node| clean(&node)),
            time(Some(entry.row.created_at)),
            match usage {
                Some((None, _)) => "never".to_owned(),
                _ => time(written),
            },
            usage.map_or_else(String::new, |(_, count)| bytes(count)),
            entry.devices.to_string(),
            state(entry),
        ]);
        lines.push(line(entry, node, usage));
    }
    if json {
        return print_json(&lines);
    }
    if lines.is_empty() {
        return print(if retired { "No user is retired.\n" } else { "There are no users yet.\n" });
    }
    print(&table.to_text())
}

/// What is not as usual with a user.
fn state(entry: &UserEntry) -> String {
    let denied = (entry.verdict == Some(Verdict::Denied)).then_some("denied");
    let replaced = entry.row.replaced_at.filter(|_| !entry.row.is_retired()).map(|_| "out of use");
    denied.into_iter().chain(replaced).collect::<Vec<_>>().join(", ")
}

fn line(entry: &UserEntry, node: Option<String>, usage: Option<(Option<i64>, u64)>) -> Line {
    Line {
        uid: entry.row.uid.get(),
        account: account_of(&entry.email).to_owned(),
        email: entry.email.clone(),
        node,
        created: timestamp(entry.row.created_at),
        last_write: usage.and_then(|(written, _)| written).and_then(timestamp),
        bytes: usage.map(|(_, count)| count),
        devices: entry.devices,
        verdict: entry.verdict.map(Verdict::as_str),
        replaced: entry.row.replaced_at.and_then(timestamp),
    }
}

/// What stands before the domain.
pub(super) fn account_of(email: &str) -> &str {
    email.rsplit_once('@').map_or(email, |(account, _)| account)
}

/// What was said of an account, and how often it was refused, as JSON has it.
#[derive(Serialize)]
pub(super) struct AccountLine {
    account: String,
    email: String,
    verdict: Option<&'static str>,
    decided: Option<String>,
    refusals: i64,
    refused_first: Option<String>,
    refused_last: Option<String>,
    reason: Option<String>,
}

impl From<&AccountEntry> for AccountLine {
    fn from(entry: &AccountEntry) -> Self {
        Self {
            account: account_of(&entry.email).to_owned(),
            email: entry.email.clone(),
            verdict: entry.verdict.map(Verdict::as_str),
            decided: entry.decided_at.and_then(timestamp),
            refusals: entry.refusals,
            refused_first: entry.refused_first.and_then(timestamp),
            refused_last: entry.refused_last.and_then(timestamp),
            reason: entry.reason.clone(),
        }
    }
}

/// Why an account was refused, for people.
pub(super) fn reason(word: &str) -> &str {
    match word {
        "closed" => "registration is closed",
        "allow_list" => "not on the allow list",
        "max_users" => "there are max_users already",
        "denied" => "denied",
        other => other,
    }
}

async fn accounts(operator: &Operator<'_>, filter: AccountFilter, json: bool) -> Result<(), String> {
    let mut entries: Vec<AccountEntry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| entry.email.clone());
        let page = operator.databases.admin.accounts(filter, after.as_deref(), PAGE).await.map_err(failed)?;
        if page.is_empty() {
            break;
        }
        entries.extend(page);
    }
    // Whoever tried last is the one that an operator waits for.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.refused_last.max(entry.decided_at)));
    if json {
        return print_json(&entries.iter().map(AccountLine::from).collect::<Vec<_>>());
    }
    let text = match (entries.as_slice(), filter) {
        ([], AccountFilter::Pending) => "Nobody waits to be let in.\n".to_owned(),
        ([], AccountFilter::With(_)) => "There are none.\n".to_owned(),
        (entries, AccountFilter::Pending) => {
            let mut table = Table::new(&["ACCOUNT", "TRIED FIRST (UTC)", "LAST", "TIMES", "REFUSED BECAUSE"]);
            for entry in entries {
                table.row([
                    clean(account_of(&entry.email)),
                    time(entry.refused_first),
                    time(entry.refused_last),
                    entry.refusals.to_string(),
                    clean(reason(entry.reason.as_deref().unwrap_or_default())),
                ]);
            }
            format!("{}\nLet one in: syncserver user allow ACCOUNT\n", table.to_text())
        }
        (entries, AccountFilter::With(_)) => {
            let mut table = Table::new(&["ACCOUNT", "SINCE (UTC)", "REFUSED LAST"]);
            for entry in entries {
                table.row([clean(account_of(&entry.email)), time(entry.decided_at), time(entry.refused_last)]);
            }
            table.to_text()
        }
    };
    print(&text)
}
