//! Short ways to say what an answer must be; each fails the test and shows the answer where it is not.

use testclient::Response;

/// What tests ask of answers.
pub(crate) trait Check: Sized {
    /// The status is this one.
    fn has(self, status: u16) -> Self;
    /// The status and the body are these, and the body is JSON.
    fn is(self, status: u16, body: &str) -> Self;
    /// It went well, and its body, which is JSON, is this one.
    fn says(self, body: &serde_json::Value) -> Self;
    /// `X-Last-Modified`, in hundredths of a second.
    fn last_modified(&self) -> i64;
    /// `X-Weave-Timestamp`, in hundredths of a second.
    fn timestamp(&self) -> i64;
    /// The value of a header that is there.
    fn must_have(&self, name: &str) -> &str;
    /// It is a write that went well: its time T, in hundredths of a second.
    fn written(&self) -> i64;
    /// The ids of a list, of records or of ids alone.
    fn ids(&self) -> Vec<String>;
}

impl Check for Response {
    #[track_caller]
    fn has(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    fn is(self, status: u16, body: &str) -> Self {
        assert_eq!((self.status, self.text()), (status, body), "{self:?}");
        let content_type = self.must_have("Content-Type");
        assert!(content_type == "application/json" || content_type.starts_with("application/json;"), "{self:?}");
        self
    }

    #[track_caller]
    fn says(self, body: &serde_json::Value) -> Self {
        assert_eq!((self.status, &self.json()), (200, body), "{self:?}");
        self
    }

    #[track_caller]
    fn last_modified(&self) -> i64 {
        hundredths(self.must_have("X-Last-Modified"))
    }

    #[track_caller]
    fn timestamp(&self) -> i64 {
        hundredths(self.must_have("X-Weave-Timestamp"))
    }

    #[track_caller]
    fn must_have(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    #[track_caller]
    fn written(&self) -> i64 {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.last_modified(), self.timestamp(), "{self:?}");
        self.last_modified()
    }

    #[track_caller]
    fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{self:?}");
        let list = self.json();
        let list = list.as_array().unwrap_or_else(|| panic!("no list: {self:?}"));
        assert_eq!(self.must_have("X-Weave-Records"), list.len().to_string(), "{self:?}");
        let id = |item: &serde_json::Value| item.as_str().or_else(|| item["id"].as_str()).unwrap().to_owned();
        list.iter().map(id).collect()
    }
}

/// A time of the protocol as hundredths of a second; it has to have exactly two decimals.
#[track_caller]
pub(crate) fn hundredths(text: &str) -> i64 {
    let (seconds, decimals) = text.split_once('.').unwrap_or_else(|| panic!("not a time: {text:?}"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    assert!(digits(seconds) && digits(decimals) && decimals.len() == 2, "not a time: {text:?}");
    seconds.parse::<i64>().unwrap() * 100 + decimals.parse::<i64>().unwrap()
}

/// A time in hundredths of a second as the protocol writes it.
pub(crate) fn seconds(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// All bytes of `text` percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
