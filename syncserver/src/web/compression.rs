//! Compression of answers.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{AcceptEncoding, ContentEncoding, Encoding, Header, HeaderValue, VARY};

/// A smaller answer, in bytes, is sent as it is: setting up a compressor costs more than it saves, and most answers of a
/// Sync server are smaller.
const MIN_BYTES: u64 = 1024;

/// Compresses an answer, if that is worth it and the client asks for it.
pub(super) fn compress(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    match response.response().body().size() {
        BodySize::Sized(bytes) if bytes >= MIN_BYTES => {}
        BodySize::Stream => {}
        BodySize::None | BodySize::Sized(_) => return response,
    }
    let encoding = wanted(&response);
    if encoding == ContentEncoding::Identity {
        // The encoder says so where it is at work.
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        return response;
    }
    response.map_body(|head, body| Encoder::response(encoding, head, body).boxed())
}

/// The encoding that the client likes best; of those, the one that costs least.
fn wanted(response: &ServiceResponse<BoxBody>) -> ContentEncoding {
    let supported = [Encoding::zstd(), Encoding::gzip(), Encoding::brotli(), Encoding::identity()];
    match AcceptEncoding::parse(response.request()).ok().and_then(|accepted| accepted.negotiate(supported.iter())) {
        Some(Encoding::Known(encoding)) => encoding,
        Some(Encoding::Unknown(_)) | None => ContentEncoding::Identity,
    }
}
