//! Whom an operator means.

use syncstorage_db_common::UserId;
use tokenserver_db_common::{UserEntry, UserFilter, is_fxa_uid};

use crate::cli::format::clean;
use crate::cli::operator::{Operator, failed};
use crate::cli::output::tell;

/// An account that is a user.
pub(super) struct User {
    /// `<FxA uid>@<domain>`.
    pub(super) email: String,
    /// Its most current row.
    pub(super) current: UserEntry,
    /// All of its rows, by uid.
    pub(super) rows: Vec<UserEntry>,
}

/// What a text may mean.
fn readings(text: &str) -> Vec<UserFilter> {
    if text.contains('@') {
        return vec![UserFilter::Email(email(text))];
    }
    // Also where it is all digits: nobody writes a uid like that.
    if is_fxa_uid(text) {
        return vec![UserFilter::FxaUid(text.to_ascii_lowercase())];
    }
    let account = UserFilter::FxaUid(text.to_owned());
    match text.parse::<UserId>() {
        Ok(uid) => vec![UserFilter::Uid(uid), account],
        Err(_) => vec![account],
    }
}

/// What stands before and after an `@`, as the database has it: where that is an id of Mozilla's, in lower case.
fn email(text: &str) -> String {
    match text.split_once('@') {
        Some((id, _)) if is_fxa_uid(id) => text.to_ascii_lowercase(),
        _ => text.to_owned(),
    }
}

impl Operator<'_> {
    /// The user whom a text names, if there is one. Where it may be several, an error lists them.
    pub(super) async fn find(&self, text: &str) -> Result<Option<User>, String> {
        let mut found: Vec<UserEntry> = Vec::new();
        for filter in readings(text) {
            found.extend(self.users(&filter).await?);
        }
        let mut emails: Vec<&str> = found.iter().map(|entry| entry.email.as_str()).collect();
        emails.sort_unstable();
        emails.dedup();
        let email = match emails.as_slice() {
            [] => return Ok(None),
            [email] => (*email).to_owned(),
            several => {
                let several: Vec<String> = several.iter().map(|email| clean(email)).collect();
                return Err(format!("{text} may be any of these accounts; name one in full: {}", several.join(", ")));
            }
        };
        let rows = self.users(&UserFilter::Email(email.clone())).await?;
        // Gone in the moment between.
        let Some(current) = UserEntry::current(&rows).cloned() else { return Ok(None) };
        Ok(Some(User { email, current, rows }))
    }

    /// The user whom a text names, who has to be there.
    pub(super) async fn expect(&self, text: &str) -> Result<User, String> {
        self.find(text).await?.ok_or_else(|| {
            format!(
                "there is no user {text:?}; `syncserver user list` has them all (settings: tokenserver.database_url)"
            )
        })
    }

    /// The account that a text names, known or not, as the database writes it.
    pub(super) async fn account(&self, text: &str) -> Result<String, String> {
        if let Some(user) = self.find(text).await? {
            return Ok(user.email);
        }
        let domain = &self.settings.tokenserver.fxa_email_domain;
        if let Some((id, _)) = text.split_once('@') {
            let email = email(text);
            let is_known = self.databases.admin.account(&email).await.map_err(failed)?.is_some();
            return match email.ends_with(&format!("@{domain}")) && !id.is_empty() || is_known {
                true => Ok(email),
                false => Err(format!(
                    "{text} is no account's id. An account is known by its id at the accounts server, not by its e-mail \
                     address: `syncserver user list --pending` shows the ids of those who were refused"
                )),
            };
        }
        if is_fxa_uid(text) {
            return Ok(format!("{}@{domain}", text.to_ascii_lowercase()));
        }
        if text.parse::<UserId>().is_ok() {
            return Err(format!(
                "there is no storage user {text}; name an account that is not yet a user by its id (32 hexadecimal digits)"
            ));
        }
        if text.is_empty() || text.len() + 1 + domain.len() > 255 || text.chars().any(char::is_control) {
            return Err(format!("{text:?} is no account's id"));
        }
        tell(format_args!(
            "note: {text} does not look like the id of a Mozilla account, which has 32 hexadecimal digits"
        ));
        Ok(format!("{text}@{domain}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_be_named_in_several_ways() {
        let uid = |uid| UserFilter::Uid(UserId::try_from(uid).unwrap());
        let account = |text: &str| UserFilter::FxaUid(text.to_owned());
        for (text, expected) in [
            ("a11ce@accounts.example", vec![UserFilter::Email("a11ce@accounts.example".to_owned())]),
            (
                "A11CE000000000000000000000000001@API.example",
                vec![UserFilter::Email("a11ce000000000000000000000000001@api.example".to_owned())],
            ),
            ("12@x", vec![UserFilter::Email("12@x".to_owned())]),
            ("A11CE000000000000000000000000001", vec![account("a11ce000000000000000000000000001")]),
            ("00000000000000000000000000000001", vec![account("00000000000000000000000000000001")]),
            ("99999999999999999999999999999999", vec![account("99999999999999999999999999999999")]),
            ("42", vec![uid(42), account("42")]),
            ("-42", vec![account("-42")]),
            ("Carol", vec![account("Carol")]),
        ] {
            assert_eq!(readings(text), expected, "{text}");
        }
    }
}
