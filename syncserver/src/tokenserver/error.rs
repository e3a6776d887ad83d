//! The errors of the tokenserver, exactly as its clients know them.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::json;
use syncstorage_db_common::{Clock, Fault};
use tokenserver_db_common::{Refusal, TokenError};

use crate::causes::chain;
use crate::web::error::RETRY_AFTER_SECONDS;

/// The longest name of a scheme that is told in the log, in bytes.
const MAX_SCHEME_BYTES: usize = 12;

/// An error on the wire, with what lies behind it for the log.
#[derive(Debug)]
pub struct ApiTokenError {
    status: StatusCode,
    code: &'static str,
    location: &'static str,
    name: String,
    description: &'static str,
    why: String,
    is_routine: bool,
    allow: Option<&'static str>,
}

impl ApiTokenError {
    fn new(
        status: StatusCode,
        code: &'static str,
        location: &'static str,
        name: &str,
        description: &'static str,
        why: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            location,
            name: name.to_owned(),
            description,
            why: why.into(),
            is_routine: false,
            allow: None,
        }
    }

    fn unauthorized(code: &'static str, why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, "body", "", "Unauthorized", why)
    }

    /// No authorization at all.
    pub fn no_authorization() -> Self {
        Self::unauthorized("error", "the Authorization header is missing, or has no space after its scheme")
    }

    /// An authorization that is no bearer token.
    pub fn unsupported_scheme(scheme: &str) -> Self {
        // Where the scheme is left out, it is the token that stands there, and no token is logged.
        let is_name = scheme.len() <= MAX_SCHEME_BYTES && scheme.bytes().all(|byte| byte.is_ascii_alphabetic());
        let found = if is_name { scheme } else { "something else" };
        let why = format!("the scheme of the Authorization header is {found:?}, expected Bearer");
        Self::new(StatusCode::UNAUTHORIZED, "error", "body", "", "Unsupported", why)
    }

    /// A token or a key id that is not accepted.
    pub fn invalid_credentials(why: impl Into<String>) -> Self {
        Self::unauthorized("invalid-credentials", why)
    }

    /// A token that was good until its time, as every token is one day.
    pub fn expired_token() -> Self {
        let why = "the token has expired; the client will get a new one";
        Self { is_routine: true, ..Self::invalid_credentials(why) }
    }

    /// Whether nothing is wrong, so that the operator need not be told.
    #[must_use]
    pub fn is_routine(&self) -> bool {
        self.is_routine
    }

    /// What the body of the answer has for its status.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// 405; `allow`: the methods that the path does take.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let (status, description) = (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        let why = "the path does not take this method";
        Self { allow: Some(allow), ..Self::new(status, "error", "body", "", description, why) }
    }

    /// No key id.
    pub fn no_key_id() -> Self {
        let why = "the X-KeyID header is missing";
        Self::new(StatusCode::UNAUTHORIZED, "invalid-key-id", "header", "", "Missing X-KeyID header", why)
    }

    /// A client state of the wrong form.
    pub fn malformed_client_state() -> Self {
        let why = "X-Client-State is not of 1 to 32 characters of A-Z a-z 0-9 . _ -";
        Self::new(StatusCode::BAD_REQUEST, "error", "header", "X-Client-State", "Invalid client state value", why)
    }

    /// Two client states that differ.
    pub fn contradicting_client_state() -> Self {
        Self::unauthorized("invalid-client-state", "X-Client-State is not the client state of X-KeyID")
    }

    /// A path with another application.
    pub fn unsupported_application() -> Self {
        let (name, description) = ("application", "Unsupported application");
        Self::new(
            StatusCode::NOT_FOUND,
            "error",
            "url",
            name,
            description,
            "the path names another application than sync",
        )
    }

    /// A path with another version.
    pub fn unsupported_version(version: &str) -> Self {
        let description = "Unsupported application version";
        Self::new(
            StatusCode::NOT_FOUND,
            "error",
            "url",
            version,
            description,
            "the path names another version than 1.5",
        )
    }

    /// Something that is needed does not answer.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "error", "body", "", "Resource is not available", why)
    }

    /// Anything unforeseen.
    pub fn internal(why: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", "internal", "", "Server error", why)
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let why = refusal.to_string();
        let client_state = |description| {
            Self::new(
                StatusCode::UNAUTHORIZED,
                "invalid-client-state",
                "header",
                "X-Client-State",
                description,
                why.clone(),
            )
        };
        match refusal {
            // To a user who is denied, too: at a 403 Firefox keeps all that it has and tries again later. A 401 would have
            // it ask for the password, over and over.
            Refusal::RegistrationClosed | Refusal::NotOnAllowList | Refusal::UserLimit { .. } | Refusal::Denied => {
                let description = "New users are not allowed";
                Self::new(StatusCode::FORBIDDEN, "new-users-disabled", "body", "", description, why)
            }
            Refusal::EmptyClientState => client_state("Unacceptable client-state value empty string"),
            Refusal::StaleClientState => client_state("Unacceptable client-state value stale value"),
            Refusal::ClientStateWithoutGeneration { .. } => {
                client_state("Unacceptable client-state value new value with no generation change")
            }
            Refusal::ClientStateWithoutKeysChange { .. } => {
                client_state("Unacceptable client-state value new value with no keys_changed_at change")
            }
            Refusal::OldGeneration { .. } | Refusal::Retired => Self::unauthorized("invalid-generation", why),
            Refusal::KeysAheadOfGeneration { .. } | Refusal::OldKeys { .. } | Refusal::NoKeysChangedAt { .. } => {
                Self::unauthorized("invalid-keysChangedAt", why)
            }
        }
    }
}

impl ApiTokenError {
    /// A sign-in that failed. The log names an account that was refused as a whole, with what lets it in.
    pub(super) fn of_sign_in(error: TokenError, fxa_uid: &str) -> Self {
        let allow = format!("`syncserver user allow {}`", shell_word(fxa_uid));
        let remedy = match error {
            TokenError::Refused(Refusal::NotOnAllowList) => Some(format!("to let it in, run {allow}")),
            TokenError::Refused(Refusal::RegistrationClosed) => {
                Some(format!("to let it in, set tokenserver.registration to \"allow_list\" and run {allow}"))
            }
            TokenError::Refused(Refusal::UserLimit { .. }) => {
                Some("to let more users in, raise tokenserver.max_users".to_owned())
            }
            TokenError::Refused(Refusal::Denied) => Some(format!("to let it in again, run {allow}")),
            _ => None,
        };
        let mut error = Self::from(error);
        if let Some(remedy) = remedy {
            error.why.push_str(&format!("; the account's id is {fxa_uid:?}; {remedy}"));
        }
        error
    }
}

/// A text as one word of a command line.
fn shell_word(text: &str) -> String {
    let is_plain = !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl From<TokenError> for ApiTokenError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Refused(refusal) => Self::of_refusal(&refusal),
            TokenError::NoNode => {
                let why = error.to_string();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "internal-error", "internal", "", "Server error", why)
            }
            TokenError::RetiredWithoutNode => Self::internal(error.to_string()),
            TokenError::Fault(fault) => fault.into(),
        }
    }
}

impl From<Fault> for ApiTokenError {
    fn from(fault: Fault) -> Self {
        let why = chain(&fault);
        match fault {
            Fault::Unavailable(_) => Self::unavailable(why),
            Fault::Internal(_) => Self::internal(why),
        }
    }
}

impl fmt::Display for ApiTokenError {
    /// For the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl ResponseError for ApiTokenError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        stamp(&mut response, &Clock::system());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if let Some(allow) = self.allow {
            response.insert_header((ALLOW, allow));
        }
        response.json(json!({
            "status": self.code,
            "errors": [{ "location": self.location, "name": self.name, "description": self.description }],
        }))
    }
}

/// The headers of every answer of the tokenserver.
pub(super) fn stamp(response: &mut HttpResponseBuilder, clock: &Clock) {
    response.insert_header(("X-Timestamp", clock.now_ms() / 1000)).insert_header(("X-Content-Type-Options", "nosniff"));
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn an_id_is_one_word_of_the_command_that_the_log_names() {
        for (id, word) in [
            ("a11ce000000000000000000000000001", "a11ce000000000000000000000000001"),
            ("", "''"),
            ("--yes", "'--yes'"),
            ("a b; rm -r /", "'a b; rm -r /'"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(shell_word(id), word);
        }
    }
}
