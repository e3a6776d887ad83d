//! What a path names, once it is known who asks.
//!
//! Each extractor authenticates first and looks at the rest of the path then, so that nobody learns anything about a
//! path that is not theirs.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::ACCEPT;
use actix_web::{FromRequest, HttpRequest, web};
use percent_encoding::percent_decode_str;
use syncstorage_db_common::{BsoId, BsoRef, CollectionName, CollectionRef, UserId};

use super::error::{ApiError, WeaveCode};
use super::hawk;
use super::output::ListFormat;
use crate::state::AppState;

/// The user of the path, authenticated.
pub struct User(pub UserId);

/// A collection of an authenticated user.
pub struct Collection(pub CollectionRef);

/// A record of an authenticated user.
pub struct Record(pub BsoRef);

fn state(request: &HttpRequest) -> Result<&AppState, ApiError> {
    let state = request.app_data::<web::Data<AppState>>();
    state.map(web::Data::get_ref).ok_or_else(|| ApiError::Internal("the server has no state".into()))
}

fn user(request: &HttpRequest) -> Result<UserId, ApiError> {
    hawk::authenticate(request, state(request)?, allows_expired_token(request))
}

/// A client with an expired token asks this one thing to learn whether it needs a new one at all.
fn allows_expired_token(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.uri().path().ends_with("/info/collections")
        && request.match_info().get("collection").is_none()
}

/// The part of a path, decoded. The router has decoded all but `%25`, `%2B` and `%2F`, which could change the meaning of
/// what is around them.
fn decoded<'a>(request: &'a HttpRequest, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    percent_decode_str(request.match_info().get(name)?).decode_utf8().ok()
}

fn collection(request: &HttpRequest) -> Result<CollectionRef, ApiError> {
    let user = user(request)?;
    let name = decoded(request, "collection").unwrap_or_default();
    let collection = CollectionName::new(name)
        .map_err(|error| ApiError::bad_request(WeaveCode::InvalidCollection, error.to_string()))?;
    Ok(CollectionRef { user, collection })
}

fn record(request: &HttpRequest) -> Result<BsoRef, ApiError> {
    let CollectionRef { user, collection } = collection(request)?;
    let id = BsoId::new(decoded(request, "id").unwrap_or_default())
        .map_err(|error| ApiError::bad_request(WeaveCode::InvalidBso, error.to_string()))?;
    Ok(BsoRef { user, collection, id })
}

macro_rules! extract {
    ($extractor:ident, $from:ident) => {
        impl FromRequest for $extractor {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                ready($from(request).map(Self))
            }
        }
    };
}

extract!(User, user);
extract!(Collection, collection);
extract!(Record, record);

/// The form that the client wants a list in: the one it likes best, JSON where it has no preference.
pub fn list_format(request: &HttpRequest) -> Result<ListFormat, ApiError> {
    let mut best: Option<(ListFormat, f32)> = None;
    let mut any = false;
    for value in request.headers().get_all(ACCEPT) {
        for range in value.to_str().unwrap_or_default().split(',') {
            any = true;
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => ListFormat::Json,
                "application/newlines" => ListFormat::Newlines,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0);
            if quality > 0.0 && best.is_none_or(|(_, best)| quality > best) {
                best = Some((format, quality));
            }
        }
    }
    match best {
        Some((format, _)) => Ok(format),
        None if any => Err(ApiError::not_acceptable()),
        None => Ok(ListFormat::Json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn format(accept: &str) -> Option<ListFormat> {
        list_format(&TestRequest::default().insert_header((ACCEPT, accept)).to_http_request()).ok()
    }

    #[test]
    fn the_client_chooses_the_form_of_a_list() {
        assert_eq!(list_format(&TestRequest::default().to_http_request()).ok(), Some(ListFormat::Json));
        for (accept, wanted) in [
            ("*/*", Some(ListFormat::Json)),
            ("application/json;q=0.9,*/*;q=0.2", Some(ListFormat::Json)),
            ("application/json; charset=utf-8", Some(ListFormat::Json)),
            ("application/newlines", Some(ListFormat::Newlines)),
            ("application/json;q=0.5, application/newlines", Some(ListFormat::Newlines)),
            ("application/newlines;q=0.5, application/json", Some(ListFormat::Json)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(ListFormat::Json)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("", None),
        ] {
            assert_eq!(format(accept), wanted, "{accept}");
        }
    }
}
