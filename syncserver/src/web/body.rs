//! Reading request bodies.

use std::io::{self, Write};

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{self, Bytes};
use flate2::write::GzDecoder;
use futures_util::StreamExt;

use super::error::{ApiError, WeaveCode};
use super::hawk;
use super::parse::BodyFormat;
use super::route::Route;
use crate::state::AppState;

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
pub async fn read(request: &HttpRequest, mut payload: Payload, limit: u64) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::too_large(format!("the body is larger than the limit of {limit} bytes"));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let capacity = usize::try_from(length.unwrap_or(0)).unwrap_or(0);
    let body = Bounded { bytes: Vec::with_capacity(capacity), limit, passed: false };
    let encoding = request.headers().get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("(not text)").trim());
    let mut body = match encoding {
        None => Inflated::Plain(body),
        Some(name) if name.eq_ignore_ascii_case("identity") => Inflated::Plain(body),
        Some(name) if name.eq_ignore_ascii_case("gzip") => Inflated::Gzip(GzDecoder::new(body)),
        Some(other) => return Err(ApiError::unsupported_media_type(&format!("Content-Encoding: {other}"))),
    };
    let mut arrived = Arrived { request, bytes: 0 };
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        arrived.bytes += chunk.len() as u64;
        if let Err(error) = body.write_all(&chunk) {
            return Err(if body.passed_limit() { too_large() } else { broken(&error) });
        }
    }
    let body = body.finish().map_err(|error| error.map_or_else(too_large, |error| broken(&error)))?;
    hawk::verify_payload(request, &body)?;
    Ok(body.into())
}

/// Counts what has arrived, however the reading ends.
struct Arrived<'a> {
    request: &'a HttpRequest,
    bytes: u64,
}

impl Drop for Arrived<'_> {
    fn drop(&mut self) {
        let state = self.request.app_data::<web::Data<AppState>>();
        if let (Some(state), Some(route)) = (state, self.request.app_data::<Route>()) {
            state.metrics.bytes_in(*route, self.bytes);
        }
    }
}

fn broken(error: &dyn std::error::Error) -> ApiError {
    ApiError::bad_request(WeaveCode::Unknown, format!("the body could not be read: {error}"))
}

/// A body that comes bit by bit. actix-web's own decompression is not used: it inflates what it was given to the end,
/// however large that is, before anybody can say stop.
enum Inflated {
    Plain(Bounded),
    Gzip(GzDecoder<Bounded>),
}

impl Inflated {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(body) => body.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn passed_limit(&self) -> bool {
        match self {
            Self::Plain(body) => body.passed,
            Self::Gzip(decoder) => decoder.get_ref().passed,
        }
    }

    /// The whole body. The error is `None` where it passed the limit.
    fn finish(mut self) -> Result<Vec<u8>, Option<io::Error>> {
        if let Self::Gzip(decoder) = &mut self
            && let Err(error) = decoder.try_finish()
        {
            return Err(Some(error).filter(|_| !self.passed_limit()));
        }
        match self {
            Self::Plain(body) => Ok(body.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|body| body.bytes).map_err(Some),
        }
    }
}

/// Takes bytes up to a limit, and fails beyond that.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    passed: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.passed = true;
            return Err(io::Error::other("the body is too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
