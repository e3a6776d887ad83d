//! The commands of `syncserver user` that change something.

use tokenserver_db_common::{Node, UserEntry, Verdict as Said, same_url};

use super::Whom;
use super::list::account_of;
use crate::cli::confirm::confirm;
use crate::cli::format::{clean, time};
use crate::cli::operator::{Operator, failed};
use crate::cli::output::{print, tell};
use crate::settings::Registration;

/// Of whom something is said.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Verdict {
    #[command(flatten)]
    whom: Whom,
    /// Take it back, so that only the settings count for the account.
    #[arg(long)]
    undo: bool,
}

/// To whom something is done that cannot be undone.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn allow(operator: &Operator<'_>, Verdict { whom, undo }: Verdict) -> Result<(), String> {
    let email = operator.account(&whom.user).await?;
    let account = clean(account_of(&email));
    if undo {
        return take_back(operator, &email, Said::Allowed).await;
    }
    let before = say(operator, &email, Some(Said::Allowed)).await?;
    let ended = if before == Some(Said::Denied) { " It is no longer denied." } else { "" };
    if operator.find(&email).await?.is_some_and(|user| !user.current.row.is_retired()) {
        return print(&format!("{account} is allowed, and is a user already.{ended}\n"));
    }
    print(&format!("{account} may sign in for the first time.{ended}\n"))?;
    let set = &operator.settings.tokenserver;
    match set.registration {
        Registration::Closed => tell(
            "But not yet: registration is closed for everybody. Set tokenserver.registration to \"allow_list\" \
             (SYNC_TOKENSERVER__REGISTRATION=allow_list) and restart the server",
        ),
        Registration::Open => tell("So may everybody: tokenserver.registration is \"open\""),
        Registration::AllowList(_) => {}
    }
    if let Some(most) = set.max_users
        && operator.databases.tokens.count_users().await.map_err(failed)? >= most
    {
        tell(format_args!("But not yet: there are {most} users already, which is tokenserver.max_users"));
    }
    Ok(())
}

pub(super) async fn deny(operator: &Operator<'_>, Verdict { whom, undo }: Verdict) -> Result<(), String> {
    let email = operator.account(&whom.user).await?;
    let account = clean(account_of(&email));
    if undo {
        return take_back(operator, &email, Said::Denied).await;
    }
    say(operator, &email, Some(Said::Denied)).await?;
    let Some(user) = operator.find(&email).await? else {
        return print(&format!("{account} is denied: it cannot become a user.\n"));
    };
    let seconds = operator.settings.tokenserver.token_duration.as_secs();
    print(&format!(
        "{account} is denied: it gets no new token. One that it has is good for up to {seconds} seconds more.\n\
         Its data stays (uid {}); `syncserver user delete` would remove it.\n",
        user.current.row.uid
    ))
}

async fn say(operator: &Operator<'_>, email: &str, said: Option<Said>) -> Result<Option<Said>, String> {
    operator.databases.admin.set_verdict(email, said, operator.clock.now_ms()).await.map_err(failed)
}

async fn take_back(operator: &Operator<'_>, email: &str, said: Said) -> Result<(), String> {
    let account = clean(account_of(email));
    let entry = operator.databases.admin.account(email).await.map_err(failed)?;
    if entry.and_then(|entry| entry.verdict) != Some(said) {
        return Err(format!("{account} is not {}", said.as_str()));
    }
    say(operator, email, None).await?;
    print(&format!("{account} is no longer {}: the settings decide.\n", said.as_str()))
}

pub(super) async fn wipe(operator: &Operator<'_>, Arguments { whom, yes }: Arguments) -> Result<(), String> {
    let user = operator.expect(&whom.user).await?;
    let (uid, home) = (user.current.row.uid, user.current.home.as_ref());
    let account = clean(account_of(&user.email));
    let Some(node) = home.map(|node| operator.url(node).to_owned()) else {
        return Err(format!("the storage of {account} is on a node that is gone; there is nothing to delete"));
    };
    let what = format!(
        "This deletes all that {account} has stored, under the uid {uid} at {}. Its devices upload what they have at \
         their next sync; what no device has any more is lost.",
        clean(&node)
    );
    confirm(&what, &uid.to_string(), yes)?;
    operator.delete_storage(uid, home).await?;
    print(&format!("Deleted what was stored under the uid {uid}{}.\n", elsewhere(operator, &node)))
}

/// Where it was, unless here.
fn elsewhere(operator: &Operator<'_>, node: &str) -> String {
    if node == operator.public_url { String::new() } else { format!(" at {}", clean(node)) }
}

pub(super) async fn delete(operator: &Operator<'_>, Arguments { whom, yes }: Arguments) -> Result<(), String> {
    let user = operator.expect(&whom.user).await?;
    let uid = user.current.row.uid;
    let account = clean(account_of(&user.email));
    let what = format!(
        "This deletes {account} (uid {uid}, created {} UTC) and all that it has stored, for good.",
        time(Some(user.current.row.created_at))
    );
    confirm(&what, &uid.to_string(), yes)?;
    let (admin, tokens) = (&operator.databases.admin, &operator.databases.tokens);
    // First of all, so that no device is sent there any more, whatever cannot be deleted now.
    admin.replace_user(&user.email, operator.clock.now_ms()).await.map_err(failed)?;
    let nodes = tokens.nodes().await.map_err(failed)?;
    let is_downed = |home: &Node| nodes.iter().any(|node| node.downed && same_url(&node.url, operator.url(home)));
    let mut failures = Vec::new();
    // Only the rows that were seen: a device may have come back as a new user in the meantime.
    for UserEntry { row, home, .. } in &user.rows {
        let home = home.as_ref();
        if let Some(home) = home.filter(|home| !operator.is_here(Some(home)) && is_downed(home)) {
            let node = clean(operator.url(home));
            tell(format_args!(
                "What uid {} has stored stays on {node}: that node is downed, and was not asked",
                row.uid
            ));
        } else if let Err(failure) = operator.delete_storage(row.uid, home).await {
            failures.push(failure);
            continue;
        }
        tokens.forget_row(row.uid).await.map_err(failed)?;
    }
    if !failures.is_empty() {
        return Err(format!(
            "{}\nThe user is out of use, and the storage is still there: run this command again",
            failures.join("\n")
        ));
    }
    let domain = &operator.settings.tokenserver.fxa_email_domain;
    let known = admin.account(&user.email).await.map_err(failed)?.and_then(|entry| entry.verdict);
    let may_return = match (&operator.settings.tokenserver.registration, known) {
        (_, Some(Said::Denied)) | (Registration::Closed, _) => false,
        (Registration::Open, _) | (_, Some(Said::Allowed)) => true,
        (Registration::AllowList(ids), None) => {
            ids.iter().any(|id| user.email.strip_prefix(id.as_str()) == Some(&format!("@{domain}")))
        }
    };
    print(&format!("Deleted {account}.\n"))?;
    if may_return {
        tell(format_args!(
            "A device that is still signed in comes back as a new user, and uploads what it has. To keep the account \
             out: syncserver user deny {account}"
        ));
    }
    Ok(())
}

pub(super) async fn retire(operator: &Operator<'_>, Arguments { whom, yes }: Arguments) -> Result<(), String> {
    let user = operator.expect(&whom.user).await?;
    let uid = user.current.row.uid;
    let account = clean(account_of(&user.email));
    let what = format!(
        "This retires {account} (uid {uid}): it is denied for good, and all that it has stored is deleted by the first \
         purge a day from now."
    );
    confirm(&what, &uid.to_string(), yes)?;
    // The row that is retired goes with the purge, and an account that still exists could come back after that.
    say(operator, &user.email, Some(Said::Denied)).await?;
    let changed = operator.databases.tokens.retire_user(&user.email, operator.clock.now_ms()).await.map_err(failed)?;
    print(&match changed {
        true => format!("Retired {account}.\n"),
        false => format!("{account} is retired already.\n"),
    })
}
