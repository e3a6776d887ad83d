//! `GET /api-doc/openapi.json`: what this server answers, for programs.
//!
//! The description is written by hand, a file for each part of the API, and kept honest by tests: one holds it against
//! the route table, and `tools/api-check` holds the running server against it. It is put together once, at the start,
//! of the parts that are on, with the address and the limits of this server.

use actix_web::http::header::{CACHE_CONTROL, ContentType, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use super::ops::VERSION;
use super::routes::Parts;
use crate::settings::{Limits, Settings};
use crate::state::AppState;

const DOCUMENT: &str = include_str!("document.json");
const COMPONENTS: &str = include_str!("components.json");
const OPERATIONS: &str = include_str!("operations.json");
const STORAGE: &str = include_str!("storage.json");
const TOKENSERVER: &str = include_str!("tokenserver.json");
const WEBHOOKS: &str = include_str!("webhooks.json");

/// The description of one server, as JSON.
#[derive(Clone, Debug)]
pub struct ApiDoc(Bytes);

impl ApiDoc {
    /// Of a server with these settings.
    pub fn new(settings: &Settings) -> Result<Self, serde_json::Error> {
        let parts = Parts::of(settings);
        let mut paths = Map::new();
        for (text, is_on) in
            [(STORAGE, parts.storage), (TOKENSERVER, parts.tokens), (WEBHOOKS, parts.webhooks), (OPERATIONS, true)]
        {
            if is_on {
                paths.extend(serde_json::from_str::<Map<String, Value>>(text)?);
            }
        }
        let mut document: Map<String, Value> = serde_json::from_str(DOCUMENT)?;
        document.extend(serde_json::from_str::<Map<String, Value>>(COMPONENTS)?);
        document.insert("paths".into(), paths.into());
        let mut document = Value::Object(document);
        fill(&mut document, &values(settings));
        Ok(Self(document.to_string().into()))
    }
}

/// `GET /api-doc/openapi.json`
pub async fn api_doc(state: web::Data<AppState>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(ContentType::json())
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .body(state.api_doc.0.clone())
}

/// What the placeholders of the description stand for: `{{name}}`.
fn values(settings: &Settings) -> Vec<(&'static str, Value)> {
    // Every field is named, so that a new limit is not forgotten here.
    let Limits { max_post_records, max_total_bytes, max_total_records, sizes, collections } =
        &settings.syncstorage.limits;
    let largest = |size: fn(&crate::settings::SizeLimits) -> u64| {
        collections.values().chain([sizes]).map(size).max().unwrap_or_default()
    };
    vec![
        ("{{version}}", json!(VERSION)),
        ("{{url}}", json!(settings.public_url.to_string())),
        ("{{token_duration}}", json!(settings.tokenserver.token_duration.as_secs())),
        ("{{max_post_records}}", json!(max_post_records)),
        ("{{max_total_bytes}}", json!(max_total_bytes)),
        ("{{max_total_records}}", json!(max_total_records)),
        ("{{max_post_bytes}}", json!(sizes.max_post_bytes)),
        ("{{max_request_bytes}}", json!(sizes.max_request_bytes)),
        ("{{max_record_payload_bytes}}", json!(sizes.max_record_payload_bytes)),
        // A collection may have limits of its own; a parameter has one schema for all of them.
        ("{{largest_max_post_bytes}}", json!(largest(|sizes| sizes.max_post_bytes))),
    ]
}

/// Puts values into a document: a text that is a placeholder becomes the value, of whatever type that is; in a longer text
/// it becomes the value's text.
fn fill(document: &mut Value, values: &[(&str, Value)]) {
    match document {
        Value::Object(members) => members.values_mut().for_each(|member| fill(member, values)),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::String(text) => {
            if let Some((_, value)) = values.iter().find(|(name, _)| name == text) {
                *document = value.clone();
                return;
            }
            for (name, value) in values {
                if text.contains(name) {
                    *text = text.replace(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_becomes_its_value_and_in_a_text_its_words() {
        let mut document = json!({ "a": ["{{n}}", "at most {{n}} of {{s}}"], "b": { "c": "{{s}}", "d": null } });
        fill(&mut document, &[("{{n}}", json!(7)), ("{{s}}", json!("x"))]);
        assert_eq!(document, json!({ "a": [7, "at most 7 of x"], "b": { "c": "x", "d": null } }));
    }
}
