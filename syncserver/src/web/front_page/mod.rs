//! `GET /`: what a person sees who opens the server's URL in a browser.
//!
//! One file without assets, which works without its script. All that varies in it comes from the settings, and is
//! escaped; nothing of a request is in it, so it is made once.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::ops::VERSION;
use crate::settings::PublicUrl;
use crate::state::AppState;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page of one server.
#[derive(Clone, Debug)]
pub struct FrontPage {
    html: Bytes,
    policy: String,
}

impl FrontPage {
    /// For a server at this URL. `has_tokenserver`: whether Firefox may be pointed at it; a node that only stores says
    /// that it may not.
    #[must_use]
    pub fn new(public_url: &PublicUrl, has_tokenserver: bool) -> Self {
        let (title, main) = if has_tokenserver {
            ("A Firefox Sync server", include_str!("connect.html"))
        } else {
            ("A storage node of Firefox Sync", include_str!("storage_node.html"))
        };
        let html = include_str!("page.html")
            .replace("{{main}}", main)
            .replace("{{title}}", title)
            .replace("{{version}}", &escape(VERSION))
            .replace("{{path}}", &escape(&public_url.path))
            .replace("{{url}}", &escape(&public_url.to_string()))
            .replace("{{style}}", STYLE)
            .replace("{{script}}", SCRIPT);
        // The page's own style and script are let in by their hashes, so that nothing else can be.
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT),
        );
        Self { html: html.into(), policy }
    }
}

/// `GET /`
pub async fn front_page(state: web::Data<AppState>) -> HttpResponse {
    let fixed = |name: HeaderName, value: &'static str| (name, HeaderValue::from_static(value));
    HttpResponse::Ok()
        .insert_header(ContentType::html())
        .insert_header(fixed(CACHE_CONTROL, "no-cache"))
        .insert_header(fixed(REFERRER_POLICY, "no-referrer"))
        .insert_header(fixed(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((CONTENT_SECURITY_POLICY, state.front_page.policy.as_str()))
        .body(state.front_page.html.clone())
}

/// A source of the content security policy: whatever has this very text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// Text as it may stand in HTML, in quotes, too.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        // No placeholder is put in by a value.
        .replace('{', "&#123;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{BaseUrl, Scheme};

    fn page(host: &str, path: &str, has_tokenserver: bool) -> String {
        let url = BaseUrl { scheme: Scheme::Https, host: host.into(), port: 443, path: path.into() };
        let page = FrontPage::new(&PublicUrl { url, explicit: true }, has_tokenserver);
        String::from_utf8(page.html.to_vec()).unwrap()
    }

    #[test]
    fn no_placeholder_is_left() {
        for page in [page("host", "", true), page("host", "/a", false)] {
            assert!(!page.contains("{{") && !page.contains("}}"), "{page}");
        }
    }

    #[test]
    fn whatever_the_url_is_it_is_text_on_the_page() {
        let page = page("\"><script>alert('x')</script>&amp;", "/'/{{script}}", true);
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;amp;"), "{page}");
    }

    #[test]
    fn the_style_and_the_script_do_not_end_early() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
    }
}
