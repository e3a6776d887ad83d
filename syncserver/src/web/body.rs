//! Reading request bodies.

use actix_web::dev::{Decompress, Payload};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut};
use actix_web::{HttpRequest, error::PayloadError};
use futures_util::StreamExt;

use super::error::{ApiError, WeaveCode};
use super::hawk;
use super::parse::BodyFormat;

/// The form of the records in the body, by its content type. None is taken for JSON.
pub fn format(request: &HttpRequest) -> Result<BodyFormat, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("(not text)"));
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/json" | "text/plain" => Ok(BodyFormat::Json),
        "application/newlines" => Ok(BodyFormat::Newlines),
        other => Err(ApiError::unsupported_media_type(other)),
    }
}

/// The body, inflated where it came compressed, of at most `limit` bytes then. A larger one is refused as soon as that is
/// known. The body's Hawk hash is verified, where the request has one.
pub async fn read(request: &HttpRequest, payload: Payload, limit: u64) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large(format!("the body is larger than the limit of {limit} bytes"));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("(not text)"));
    if let Some(encoding) = encoding
        && !["gzip", "br", "zstd", "deflate", "identity"]
            .iter()
            .any(|known| encoding.trim().eq_ignore_ascii_case(known))
    {
        return Err(ApiError::unsupported_media_type(&format!("Content-Encoding: {encoding}")));
    }
    let mut stream = Decompress::from_headers(payload, request.headers());
    let mut body = BytesMut::with_capacity(usize::try_from(length.unwrap_or(0)).unwrap_or(0));
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let body = body.freeze();
    hawk::verify_payload(request, &body)?;
    Ok(body)
}

fn broken(error: &PayloadError) -> ApiError {
    ApiError::bad_request(WeaveCode::Unknown, format!("the body could not be read: {error}"))
}
