//! Finds out what usually goes wrong with a deployment, and says how to mend it.
//!
//! [`machine`] looks at what is on this machine: folders, databases, secrets. [`reach`] speaks to the server as a client
//! would. Nothing is changed anywhere.

mod http;
mod machine;
mod reach;

use std::path::Path;

use serde::Serialize;
use syncstorage_db_common::Clock;

use crate::settings::{Settings, SettingsError};
use http::Http;

/// By this the server knows requests that are sent to be refused, so that its log alarms nobody.
pub(crate) const USER_AGENT: &str = concat!("syncserver-doctor/", env!("CARGO_PKG_VERSION"));

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// Not looked at, because of something else.
    Skipped,
    /// It works, but may not for ever, or not for everybody.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// Of what, in a word or two.
    pub(crate) check: &'static str,
    /// How it ended.
    pub(crate) status: Status,
    /// What was found, and, where it is not well, what was expected and what to do.
    pub(crate) message: String,
}

/// All that was found, each handed on as it is.
pub(crate) struct Report<'a> {
    told: &'a mut dyn FnMut(&Finding),
    findings: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, check: &'static str, status: Status, message: impl Into<String>) {
        let finding = Finding { check, status, message: message.into() };
        (self.told)(&finding);
        self.findings.push(finding);
    }

    fn ok(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Status::Ok, message);
    }

    fn skip(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Status::Skipped, message);
    }

    fn warn(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Status::Warn, message);
    }

    fn fail(&mut self, check: &'static str, message: impl Into<String>) {
        self.add(check, Status::Fail, message);
    }
}

/// Looks at everything; at no more than the error where the settings cannot be used. `authorities`: a file with
/// certificates of authorities to be trusted, in place of those that browsers trust. `told` gets each finding as soon as
/// it is there.
pub(crate) async fn examine(
    settings: Result<&Settings, &SettingsError>,
    authorities: Option<&Path>,
    told: &mut dyn FnMut(&Finding),
) -> Result<Vec<Finding>, String> {
    let http = Http::new(authorities)?;
    let mut report = Report { told, findings: Vec::new() };
    match settings {
        Ok(settings) => examine_all(settings, &http, &mut report).await,
        Err(error) => report.fail("settings", format!("{error} (`syncserver settings` prints all of them)")),
    }
    Ok(report.findings)
}

async fn examine_all(settings: &Settings, http: &Http, report: &mut Report<'_>) {
    machine::settings(settings, report);
    machine::certificate(settings, report);
    machine::folder(settings, report);
    machine::space(settings, report);
    let databases = machine::databases(settings, report).await;
    let secret = machine::secret(settings, databases.as_ref(), report).await;
    machine::nodes(settings, databases.as_ref(), report).await;
    reach::accounts(settings, http, &Clock::system(), report);
    reach::server(settings, secret.as_ref(), http, report);
}
