//! The errors of the tokenserver, exactly as its clients know them.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use serde_json::json;
use syncstorage_db_common::{BoxedError, Clock, Fault};
use tokenserver_db_common::{Refusal, TokenError};

use crate::web::error::RETRY_AFTER_SECONDS;

/// An error on the wire, with what lies behind it for the log.
#[derive(Debug)]
pub struct ApiTokenError {
    status: StatusCode,
    code: &'static str,
    location: &'static str,
    name: String,
    description: &'static str,
    why: String,
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
        Self { status, code, location, name: name.to_owned(), description, why: why.into() }
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
        let why = format!("the scheme of the Authorization header is {scheme:?}, expected Bearer");
        Self::new(StatusCode::UNAUTHORIZED, "error", "body", "", "Unsupported", why)
    }

    /// A token or a key id that is not accepted.
    pub fn invalid_credentials(why: impl Into<String>) -> Self {
        Self::unauthorized("invalid-credentials", why)
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
            Refusal::RegistrationClosed | Refusal::NotOnAllowList | Refusal::UserLimit { .. } => {
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
    /// A sign-in that failed. The log names an account that is not a user: the operator may want to let it in.
    pub(super) fn of_sign_in(error: TokenError, fxa_uid: &str) -> Self {
        use Refusal::{NotOnAllowList, RegistrationClosed, UserLimit};
        let stranger = matches!(error, TokenError::Refused(RegistrationClosed | NotOnAllowList | UserLimit { .. }));
        let mut error = Self::from(error);
        if stranger {
            error.why.push_str(&format!("; the account's id is {fxa_uid:?}"));
        }
        error
    }
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
        let because = |source: &BoxedError| format!("{fault}: {source}");
        match &fault {
            Fault::Unavailable(source) => Self::unavailable(because(source)),
            Fault::Internal(source) => Self::internal(because(source)),
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
