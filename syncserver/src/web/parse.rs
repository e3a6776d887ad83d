//! Request bodies into changes.
//!
//! A body is read in one pass, straight into [`BsoChange`]s. A record that breaks a rule does not fail the others.

use std::borrow::Cow;
use std::collections::HashSet;

use syncstorage_db_common::{BsoChange, BsoId};

use super::raw_bso::{Raw, RawBso};

/// How the records of a body are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json`, `text/plain`: a list, or one object.
    Json,
    /// `application/newlines`: an object a line.
    Newlines,
}

/// What a POST may hold.
#[derive(Clone, Copy, Debug)]
pub struct PostLimits {
    /// Records.
    pub records: u64,
    /// Bytes of payload of all records.
    pub bytes: u64,
    /// Bytes of payload of one record.
    pub record_bytes: u64,
}

/// The records of a POST, judged one by one.
#[derive(Debug, Default, PartialEq)]
pub struct PostedBsos {
    /// Those to write.
    pub changes: Vec<BsoChange>,
    /// Those that are refused: the id as it came, and why.
    pub failed: Vec<(String, &'static str)>,
}

/// The body as a whole cannot be taken; nothing of it is.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidBody(pub String);

impl From<serde_json::Error> for InvalidBody {
    fn from(error: serde_json::Error) -> Self {
        // Not its own message, which can hold the text of the body: this goes to the log.
        let (line, column) = (error.line(), error.column());
        Self(format!("the body is not the expected JSON: {:?} error at line {line}, column {column}", error.classify()))
    }
}

/// The records of a POST.
pub fn parse_post(body: &[u8], format: BodyFormat, limits: PostLimits) -> Result<PostedBsos, InvalidBody> {
    let records: Vec<RawBso<'_>> = match format {
        BodyFormat::Json => serde_json::from_slice(body)?,
        BodyFormat::Newlines => {
            let mut lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
            // What follows the last newline is no line, if it is empty.
            if lines.last().is_some_and(|line| line.is_empty()) {
                lines.pop();
            }
            lines.into_iter().map(serde_json::from_slice).collect::<Result<_, _>>()?
        }
    };
    let mut ids = HashSet::with_capacity(records.len());
    for record in &records {
        let Raw::Text(id) = &record.id else { return Err(InvalidBody("a record has no id".into())) };
        if !ids.insert(id.as_ref()) {
            return Err(InvalidBody("two records have the same id".into()));
        }
    }
    drop(ids);

    let mut posted = PostedBsos { changes: Vec::with_capacity(records.len()), failed: Vec::new() };
    let mut bytes: u64 = 0;
    for record in records {
        let id = record.id.text();
        match BsoId::new(id.clone()).map_err(|_| "invalid id").and_then(|id| record.into_change(id)) {
            Err(reason) => posted.failed.push((id, reason)),
            Ok(change) => {
                let size = change.payload_bytes() as u64;
                if size > limits.record_bytes {
                    posted.failed.push((id, "retry bytes"));
                } else if posted.changes.len() as u64 >= limits.records {
                    posted.failed.push((id, "retry bso"));
                } else if bytes + size > limits.bytes {
                    posted.failed.push((id, "retry bytes"));
                } else {
                    bytes += size;
                    posted.changes.push(change);
                }
            }
        }
    }
    Ok(posted)
}

/// The record of a PUT, to be written as `id`.
pub fn parse_put(body: &[u8], id: BsoId) -> Result<BsoChange, InvalidBody> {
    let record: RawBso<'_> = serde_json::from_slice(body)?;
    if !matches!(record.id, Raw::Absent | Raw::Text(_)) {
        return Err(InvalidBody("the id in the body is not a string".into()));
    }
    record.into_change(id).map_err(|reason| InvalidBody(reason.to_owned()))
}

/// Whether this is a payload encrypted with an all-zero IV: the work of a client that lost its random numbers, after
/// which nobody could read the keys of the account any more.
#[must_use]
pub fn has_zero_iv(payload: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Envelope<'a> {
        #[serde(rename = "IV", borrow)]
        iv: Cow<'a, str>,
    }
    // A list would do as well for the members of a struct, in their order.
    payload.trim_start().starts_with('{')
        && serde_json::from_str::<Envelope<'_>>(payload).is_ok_and(|envelope| envelope.iv == "AAAAAAAAAAAAAAAAAAAAAA==")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syncstorage_db_common::Patch;

    const LIMITS: PostLimits = PostLimits { records: 3, bytes: 20, record_bytes: 10 };

    fn post(body: &str) -> Result<PostedBsos, InvalidBody> {
        parse_post(body.as_bytes(), BodyFormat::Json, LIMITS)
    }

    fn put(body: &str) -> Result<BsoChange, InvalidBody> {
        parse_put(body.as_bytes(), BsoId::new("x").unwrap())
    }

    fn failed(body: &str) -> Vec<(String, &'static str)> {
        post(body).unwrap().failed
    }

    #[test]
    fn a_body_becomes_changes() {
        let posted = post(
            r#"[{"id":"a","payload":"p\u00e9","sortindex":-999999999,"ttl":0},
                {"id":"b","payload":null,"sortindex":null,"ttl":null,"modified":"any","collection":[{}]},
                {"id":"c"}]"#,
        )
        .unwrap();
        assert!(posted.failed.is_empty());
        assert_eq!(posted.changes[0].payload, Patch::Set("pé".to_owned()));
        assert_eq!((posted.changes[0].sortindex, posted.changes[0].ttl), (Patch::Set(-999_999_999), Patch::Set(0)));
        assert_eq!(posted.changes[1].payload, Patch::Reset);
        assert_eq!((posted.changes[1].sortindex, posted.changes[1].ttl), (Patch::Reset, Patch::Reset));
        assert_eq!(posted.changes[2], BsoChange::new(BsoId::new("c").unwrap()));
    }

    #[test]
    fn a_body_that_is_no_list_of_identified_objects_is_refused_as_a_whole() {
        for body in [
            "",
            "{}",
            "null",
            "1",
            "\"a\"",
            "[1]",
            "[null]",
            "[[]]",
            "[{}]",
            r#"[{"id":1}]"#,
            r#"[{"id":null}]"#,
            r#"[{"id":"a"},{"id":"a"}]"#,
            r#"[{"id":"a"}"#,
            r#"[{"id":"a"}] x"#,
            r#"[{"id":"a","payload":"\ud800"}]"#,
        ] {
            assert!(post(body).is_err(), "{body}");
        }
    }

    #[test]
    fn an_invalid_record_does_not_fail_the_others() {
        for (field, reason) in [
            (r#""sortindex":"1""#, "invalid sortindex"),
            (r#""sortindex":1.0"#, "invalid sortindex"),
            (r#""sortindex":1e3"#, "invalid sortindex"),
            (r#""sortindex":true"#, "invalid sortindex"),
            (r#""sortindex":1000000000"#, "invalid sortindex"),
            (r#""sortindex":99999999999999999999"#, "invalid sortindex"),
            (r#""ttl":-1"#, "invalid ttl"),
            (r#""ttl":"60""#, "invalid ttl"),
            (r#""ttl":1000000000"#, "invalid ttl"),
            (r#""payload":1"#, "invalid payload"),
            (r#""payload":{"a":[1]}"#, "invalid payload"),
            (r#""payload":"a\u0000b""#, "invalid payload"),
            (r#""extra":1"#, "unknown field"),
            (r#""ttl":1,"ttl":2"#, "field given twice"),
        ] {
            let posted = post(&format!(r#"[{{"id":"a",{field}}},{{"id":"b"}}]"#)).unwrap();
            assert_eq!(posted.failed, [("a".to_owned(), reason)], "{field}");
            assert_eq!(posted.changes.len(), 1, "{field}");
            assert!(put(&format!("{{{field}}}")).is_err(), "{field}");
        }
        assert_eq!(failed(r#"[{"id":"a\nb"}]"#), [("a\nb".to_owned(), "invalid id")]);
        assert_eq!(failed(r#"[{"id":""}]"#), [(String::new(), "invalid id")]);
    }

    #[test]
    fn what_passes_a_limit_is_to_be_sent_again() {
        assert_eq!(
            failed(r#"[{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4"},{"id":"5"}]"#),
            [("4".to_owned(), "retry bso"), ("5".to_owned(), "retry bso")]
        );
        assert_eq!(failed(r#"[{"id":"1","payload":"12345678901"}]"#), [("1".to_owned(), "retry bytes")]);
        assert_eq!(
            failed(
                r#"[{"id":"1","payload":"1234567890"},{"id":"2","payload":"123456789"},{"id":"3","payload":"12"},{"id":"4","payload":"1"}]"#
            ),
            [("3".to_owned(), "retry bytes")]
        );
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_its_text() {
        for body in [r#"["a payload"]"#, r#""a payload""#, r#"[{"id":"a payload"} {}]"#] {
            assert!(!post(body).unwrap_err().0.contains("payload"), "{body}");
        }
        assert!(!put(r#""a payload""#).unwrap_err().0.contains("payload"));
    }

    #[test]
    fn newlines_separate_records() {
        let lines =
            |body: &str| parse_post(body.as_bytes(), BodyFormat::Newlines, LIMITS).map(|posted| posted.changes.len());
        assert_eq!(lines(""), Ok(0));
        assert_eq!(lines("{\"id\":\"a\"}\n{\"id\":\"b\"}\n"), Ok(2));
        assert_eq!(lines("{\"id\":\"a\"}\n{\"id\":\"b\"}"), Ok(2));
        for bad in [
            "\n",
            "{\"id\":\"a\"}\n\n",
            "{\"id\":\"a\"}\n\n{\"id\":\"b\"}",
            "[{\"id\":\"a\"}]",
            "{\"id\":\"a\"}{\"id\":\"b\"}",
        ] {
            assert!(lines(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_put_takes_one_object_and_any_id_in_it() {
        assert_eq!(put("{}").unwrap().id.as_str(), "x");
        assert_eq!(put(r#"{"id":"other","payload":"p"}"#).unwrap().id.as_str(), "x");
        for bad in ["", "[]", "null", r#"{"id":1}"#, r#"{"id":null}"#] {
            assert!(put(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zero_iv_is_seen() {
        assert!(has_zero_iv(r#"{"ciphertext":"x","IV":"AAAAAAAAAAAAAAAAAAAAAA==","hmac":"y"}"#));
        for fine in ["", "x", "{}", r#"{"IV":"GX8L37AAb2FZJMzIoXlX8w=="}"#, r#"["AAAAAAAAAAAAAAAAAAAAAA=="]"#] {
            assert!(!has_zero_iv(fine), "{fine}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_post(&body, BodyFormat::Json, LIMITS);
            let _ = parse_post(&body, BodyFormat::Newlines, LIMITS);
            let _ = parse_put(&body, BsoId::new("x").unwrap());
        }

        #[test]
        fn any_valid_record_is_taken_as_it_is(
            id in "[ -~]{1,64}",
            payload in "[^\0]{0,40}",
            sortindex in proptest::option::of(-999_999_999i32..=999_999_999),
            ttl in proptest::option::of(0u32..=999_999_999),
        ) {
            let limits = PostLimits { records: 1, bytes: 1000, record_bytes: 1000 };
            let body = serde_json::json!([{ "id": id, "payload": payload, "sortindex": sortindex, "ttl": ttl }]).to_string();
            let posted = parse_post(body.as_bytes(), BodyFormat::Json, limits).unwrap();
            prop_assert!(posted.failed.is_empty());
            prop_assert_eq!(posted.changes[0].id.as_str(), &id);
            prop_assert_eq!(&posted.changes[0].payload, &Patch::Set(payload));
            prop_assert_eq!(posted.changes[0].sortindex, sortindex.map_or(Patch::Reset, Patch::Set));
            prop_assert_eq!(posted.changes[0].ttl, ttl.map_or(Patch::Reset, Patch::Set));
        }
    }
}
