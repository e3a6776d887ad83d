//! Compression of answers.

use actix_http::encoding::Encoder;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{
    AcceptEncoding, ContentEncoding, Encoding, Header, HeaderValue, Preference, Quality, VARY,
};

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
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        return response;
    }
    response.map_body(|head, body| Encoder::response(encoding, head, body).boxed())
}

/// The encodings, the one that costs least first.
const ENCODINGS: [ContentEncoding; 3] = [ContentEncoding::Zstd, ContentEncoding::Gzip, ContentEncoding::Brotli];

/// The encoding that the client likes best; of those that it likes as much, the one that costs least.
fn wanted(response: &ServiceResponse) -> ContentEncoding {
    AcceptEncoding::parse(response.request()).map_or(ContentEncoding::Identity, |accepted| best(&accepted))
}

fn best(accepted: &AcceptEncoding) -> ContentEncoding {
    let quality = |encoding: ContentEncoding| {
        let named = accepted.iter().find(|item| item.item == Preference::Specific(Encoding::Known(encoding)));
        let any = || accepted.iter().find(|item| item.item == Preference::Any);
        named.or_else(any).map_or(Quality::ZERO, |item| item.quality)
    };
    let most = ENCODINGS.into_iter().map(quality).max().unwrap_or(Quality::ZERO);
    let cheapest = ENCODINGS.into_iter().find(|encoding| quality(*encoding) == most);
    cheapest
        .filter(|_| most > Quality::ZERO && most >= quality(ContentEncoding::Identity))
        .unwrap_or(ContentEncoding::Identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::ACCEPT_ENCODING;
    use actix_web::test::TestRequest;

    #[test]
    fn the_client_has_its_will_and_the_server_its_choice() {
        for (header, encoding) in [
            ("gzip, deflate, br, zstd", ContentEncoding::Zstd),
            ("gzip, deflate, br", ContentEncoding::Gzip),
            ("br", ContentEncoding::Brotli),
            ("*", ContentEncoding::Zstd),
            ("gzip;q=0.5, br;q=0.9", ContentEncoding::Brotli),
            ("zstd;q=0, *", ContentEncoding::Gzip),
            ("gzip;q=0.5, identity", ContentEncoding::Identity),
            ("identity", ContentEncoding::Identity),
            ("deflate", ContentEncoding::Identity),
            ("*;q=0", ContentEncoding::Identity),
            ("", ContentEncoding::Identity),
        ] {
            let request = TestRequest::default().insert_header((ACCEPT_ENCODING, header)).to_http_request();
            let found = AcceptEncoding::parse(&request).map_or(ContentEncoding::Identity, |accepted| best(&accepted));
            assert_eq!(found, encoding, "{header}");
        }
    }
}
