//! `POST /1.0/webhooks/fxa/events`: what Mozilla accounts tell about a user.

use actix_web::{HttpRequest, HttpResponse, web};
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Tokenserver;
use super::access_token::{Decoded, is_access_token_type};
use super::error::{ApiTokenError, stamp};
use super::handlers::bearer;
use crate::state::AppState;
use crate::web::request_id::RequestId;

const DELETE_USER: &str = "https://schemas.accounts.firefox.com/event/delete-user";
const PASSWORD_CHANGE: &str = "https://schemas.accounts.firefox.com/event/password-change";

/// How events are taken.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Who sends them.
    pub issuer: String,
    /// To whom they are sent: this server's client id.
    pub client_id: String,
    /// Take note of events and do nothing.
    pub metrics_only: bool,
}

/// A security event token.
#[derive(Clone, Deserialize)]
struct EventToken {
    sub: String,
    #[serde(default)]
    events: Map<String, Value>,
}

/// Takes events about one account.
pub async fn webhook(request: HttpRequest, state: web::Data<AppState>) -> Result<HttpResponse, ApiTokenError> {
    let configured = state.tokens.as_ref().and_then(|tokens| Some((tokens, tokens.webhook.as_ref()?)));
    let (tokens, webhook) = configured.ok_or_else(|| ApiTokenError::internal("webhooks are off"))?;
    let bad = |_| ApiTokenError::invalid_credentials("the event has no bearer token");
    let token = bearer(&request).map_err(bad)?;
    let decoded =
        tokens.access_tokens.decode::<EventToken>(token, |typ| !is_access_token_type(typ), validation(webhook)).await?;
    let event = match decoded {
        Decoded::Claims(event) => event,
        Decoded::NoJwt => return Err(ApiTokenError::invalid_credentials("the event is no JWT")),
        // It may well be a true one. Refused for good, it would not be sent again.
        Decoded::NoKey => return Err(ApiTokenError::unavailable("no key is known yet to verify the event with")),
    };
    let request_id = RequestId::kept(&request, &state.trusted_proxies);
    for (name, details) in &event.events {
        slog::info!(state.log, "event of an account"; "event" => name, "account" => tokens.hashed(&event.sub),
            "request_id" => request_id.as_str());
        if !webhook.metrics_only {
            take(tokens, &event.sub, name, details, state.clock.now_ms()).await?;
        }
    }
    let mut response = HttpResponse::Ok();
    stamp(&mut response, &state.clock);
    Ok(response.json(json!({})))
}

async fn take(
    tokens: &Tokenserver,
    fxa_uid: &str,
    name: &str,
    details: &Value,
    now_ms: i64,
) -> Result<(), ApiTokenError> {
    let email = tokens.email(fxa_uid);
    match name {
        DELETE_USER => {
            tokens.db.retire_user(&email, now_ms).await?;
        }
        PASSWORD_CHANGE => {
            // Tokens from before the change have a lesser generation; the first one after it has this very time.
            if let Some(changed) = details.get("changeTime").and_then(milliseconds) {
                tokens.db.password_changed(&email, changed.saturating_sub(1)).await?;
            }
        }
        // Events that this server has no use for.
        _ => {}
    }
    Ok(())
}

/// A time in ms, of any JSON number. What is beyond the range of an `i64` is as far away as can be.
fn milliseconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|time| time as i64))
}

fn validation(webhook: &Webhook) -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.leeway = 0;
    validation.set_issuer(&[&webhook.issuer]);
    validation.set_audience(&[&webhook.client_id]);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation
}
