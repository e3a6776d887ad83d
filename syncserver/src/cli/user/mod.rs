//! `syncserver user`.

mod change;
mod find;
mod list;
mod show;

use super::operator::Operator;
use crate::settings::Settings;

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(in crate::cli) enum Command {
    /// List the users: their uid in the storage, their account, where their data is, when they last wrote, how much they
    /// have, and how many kinds of devices they use.
    List(list::Arguments),
    /// Show all that is known of a user: devices, collections, quota, and what was said of the account.
    Show(show::Arguments),
    /// Let an account sign in for the first time, where tokenserver.registration is "allow_list". Also ends a denial.
    Allow(change::Verdict),
    /// Refuse an account from now on, whether it is a user or not. Its data stays.
    Deny(change::Verdict),
    /// Delete all that a user has stored. The user stays, and devices upload everything anew at their next sync.
    Wipe(change::Arguments),
    /// Delete a user with all data. If registration lets it, the account may come back as a new user.
    Delete(change::Arguments),
    /// Retire a user, as the accounts server does when an account is deleted: refused for good, and the data goes at the
    /// next purge a day from now.
    Retire(change::Arguments),
}

/// Whom a command is about.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cli) struct Whom {
    /// The account's id (32 hexadecimal digits), or that with its domain as the database has it, or the uid in the
    /// storage (a number).
    #[arg(value_name = "USER")]
    user: String,
}

pub(super) async fn run(settings: &Settings, command: Command) -> Result<(), String> {
    let operator = Operator::attach(settings).await?;
    match command {
        Command::List(arguments) => list::run(&operator, arguments).await,
        Command::Show(arguments) => show::run(&operator, arguments).await,
        Command::Allow(arguments) => change::allow(&operator, arguments).await,
        Command::Deny(arguments) => change::deny(&operator, arguments).await,
        Command::Wipe(arguments) => change::wipe(&operator, arguments).await,
        Command::Delete(arguments) => change::delete(&operator, arguments).await,
        Command::Retire(arguments) => change::retire(&operator, arguments).await,
    }
}
