//! Hawk request signatures, written from the public description of the scheme.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};

/// What a Hawk signature covers.
#[derive(Clone, Debug)]
pub struct Hawk<'a> {
    /// Upper-case method.
    pub method: &'a str,
    /// Path with query, exactly as sent.
    pub target: &'a str,
    /// Host; the signature covers it in lower case.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// The client's clock, in seconds since the epoch.
    pub ts: i64,
    /// Anything not used before.
    pub nonce: &'a str,
    /// The payload hash, if the payload is to be covered.
    pub hash: Option<&'a str>,
    /// Application data.
    pub ext: Option<&'a str>,
}

impl Hawk<'_> {
    /// The text that is signed.
    pub fn normalized(&self) -> String {
        let Hawk { method, target, port, ts, nonce, .. } = self;
        let host = self.host.to_ascii_lowercase();
        let hash = self.hash.unwrap_or_default();
        let ext = self.ext.unwrap_or_default().replace('\\', "\\\\").replace('\n', "\\n");
        format!("hawk.1.header\n{ts}\n{nonce}\n{method}\n{target}\n{host}\n{port}\n{hash}\n{ext}\n")
    }

    /// The signature, in base64.
    pub fn mac(&self, key: &hmac::Key) -> String {
        STANDARD.encode(hmac::sign(key, self.normalized().as_bytes()))
    }

    /// The value of the `Authorization` header.
    pub fn header(&self, id: &str, key: &hmac::Key) -> String {
        self.header_with_mac(id, &self.mac(key))
    }

    /// The same with a given signature.
    pub fn header_with_mac(&self, id: &str, mac: &str) -> String {
        let mut out = format!("Hawk id=\"{id}\", ts=\"{}\", nonce=\"{}\"", self.ts, self.nonce);
        for (name, value) in [("hash", self.hash), ("ext", self.ext), ("mac", Some(mac))] {
            if let Some(value) = value {
                out.push_str(&format!(", {name}=\"{value}\""));
            }
        }
        out
    }
}

/// The Hawk payload hash of a body, in base64. Parameters of the content type do not count.
pub fn payload_hash(content_type: &str, body: &[u8]) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(format!("hawk.1.payload\n{essence}\n").as_bytes());
    hash.update(body);
    hash.update(b"\n");
    STANDARD.encode(hash.finish())
}

/// What to sign otherwise than usual: `HawkOptions { ts: Some(0), ..Default::default() }`.
#[derive(Clone, Debug, Default)]
pub struct HawkOptions {
    /// Sign another method than the one sent.
    pub method: Option<String>,
    /// Sign another target than the one sent.
    pub target: Option<String>,
    /// Sign another host than the one connected to.
    pub host: Option<String>,
    /// Sign another port than the one connected to.
    pub port: Option<u16>,
    /// Another clock than this machine's.
    pub ts: Option<i64>,
    /// A nonce of one's own.
    pub nonce: Option<String>,
    /// Whether the payload is covered.
    pub hash: PayloadHash,
    /// Application data.
    pub ext: Option<String>,
    /// This signature in place of the right one.
    pub mac: Option<String>,
}

/// Whether a signature covers the payload. Firefox's never does.
#[derive(Clone, Debug, Default)]
pub enum PayloadHash {
    /// No `hash` attribute.
    #[default]
    None,
    /// The hash of the body that is sent.
    OfBody,
    /// This text, whatever the body.
    Text(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Hawk documentation.
    fn example() -> (Hawk<'static>, hmac::Key) {
        let hawk = Hawk {
            method: "GET",
            target: "/resource/1?b=1&a=2",
            host: "example.com",
            port: 8000,
            ts: 1_353_832_234,
            nonce: "j4h3g2",
            hash: None,
            ext: Some("some-app-ext-data"),
        };
        (hawk, hmac::Key::new(hmac::HMAC_SHA256, b"werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn"))
    }

    #[test]
    fn the_documented_request_has_the_documented_signature() {
        let (hawk, key) = example();
        let text =
            "hawk.1.header\n1353832234\nj4h3g2\nGET\n/resource/1?b=1&a=2\nexample.com\n8000\n\nsome-app-ext-data\n";
        assert_eq!(hawk.normalized(), text);
        assert_eq!(hawk.mac(&key), "6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE=");
        assert_eq!(
            hawk.header("dh37fgj492je", &key),
            "Hawk id=\"dh37fgj492je\", ts=\"1353832234\", nonce=\"j4h3g2\", ext=\"some-app-ext-data\", \
             mac=\"6R4rV5iE+NPoym+WwjeHzjAGXUtLNIxmo1vpMofpLAE=\""
        );
    }

    #[test]
    fn the_documented_payload_has_the_documented_hash() {
        let hash = payload_hash("Text/Plain; charset=utf-8", b"Thank you for flying Hawk");
        assert_eq!(hash, "Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY=");
        let (hawk, key) = example();
        let hawk = Hawk { method: "POST", hash: Some(&hash), ..hawk };
        assert_eq!(hawk.mac(&key), "aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw=");
    }

    #[test]
    fn the_host_is_signed_in_lower_case_and_ext_is_escaped() {
        let (hawk, _) = example();
        let hawk = Hawk { host: "Example.COM", ext: Some("a\\b\nc"), ..hawk };
        assert!(hawk.normalized().ends_with("\nexample.com\n8000\n\na\\\\b\\nc\n"));
    }
}
