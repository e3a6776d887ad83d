//! Request bodies into changes.
//!
//! A body is read in one pass, straight into [`BsoChange`]s. A record that breaks a rule does not fail the others, so
//! that each field is first taken as whatever it is, and judged when the record is whole.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use syncstorage_db_common::{BsoChange, BsoId, Patch};

/// The largest sortindex; the smallest is its negative.
const MAX_SORTINDEX: i64 = 999_999_999;

/// The longest ttl, in seconds.
const MAX_TTL: i64 = 999_999_999;

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
        // The message names places and kinds, never the text itself.
        Self(format!("the body is not the expected JSON: {error}"))
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
    serde_json::from_str::<Envelope<'_>>(payload).is_ok_and(|envelope| envelope.iv == "AAAAAAAAAAAAAAAAAAAAAA==")
}

/// A JSON value, as far as a field of a BSO can be one.
#[derive(Debug, Default)]
enum Raw<'a> {
    #[default]
    Absent,
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Other,
}

impl Raw<'_> {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone().into_owned(),
            Self::Absent | Self::Null | Self::Integer(_) | Self::Other => String::new(),
        }
    }

    fn integer(&self, range: std::ops::RangeInclusive<i64>, reason: &'static str) -> Result<Patch<i64>, &'static str> {
        match self {
            Self::Absent => Ok(Patch::Keep),
            Self::Null => Ok(Patch::Reset),
            Self::Integer(value) if range.contains(value) => Ok(Patch::Set(*value)),
            Self::Integer(_) | Self::Text(_) | Self::Other => Err(reason),
        }
    }
}

/// A JSON object, as far as it can be a BSO.
#[derive(Debug, Default)]
struct RawBso<'a> {
    id: Raw<'a>,
    sortindex: Raw<'a>,
    payload: Raw<'a>,
    ttl: Raw<'a>,
    problem: Option<&'static str>,
}

impl RawBso<'_> {
    fn into_change(self, id: BsoId) -> Result<BsoChange, &'static str> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let sortindex = self.sortindex.integer(-MAX_SORTINDEX..=MAX_SORTINDEX, "invalid sortindex")?;
        let ttl = self.ttl.integer(0..=MAX_TTL, "invalid ttl")?;
        let payload = match self.payload {
            Raw::Absent => Patch::Keep,
            Raw::Null => Patch::Reset,
            Raw::Text(text) if !text.contains('\0') => Patch::Set(text.into_owned()),
            Raw::Text(_) | Raw::Integer(_) | Raw::Other => return Err("invalid payload"),
        };
        Ok(BsoChange { id, sortindex: narrow(sortindex)?, payload, ttl: narrow(ttl)? })
    }
}

fn narrow<T: TryFrom<i64>>(patch: Patch<i64>) -> Result<Patch<T>, &'static str> {
    match patch {
        Patch::Keep => Ok(Patch::Keep),
        Patch::Reset => Ok(Patch::Reset),
        Patch::Set(value) => T::try_from(value).map(Patch::Set).map_err(|_| "number out of range"),
    }
}

impl<'de> Deserialize<'de> for RawBso<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BsoVisitor;

        impl<'de> Visitor<'de> for BsoVisitor {
            type Value = RawBso<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a BSO object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawBso<'de>, A::Error> {
                let mut bso = RawBso::default();
                while let Some(name) = map.next_key::<FieldName<'de>>()? {
                    let field = match name.0.as_ref() {
                        "id" => &mut bso.id,
                        "sortindex" => &mut bso.sortindex,
                        "payload" => &mut bso.payload,
                        "ttl" => &mut bso.ttl,
                        // The server's own; clients send them back.
                        "modified" | "collection" => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            bso.problem = Some("unknown field");
                            continue;
                        }
                    };
                    if !matches!(field, Raw::Absent) {
                        bso.problem = Some("field given twice");
                    }
                    *field = map.next_value()?;
                }
                Ok(bso)
            }
        }

        deserializer.deserialize_map(BsoVisitor)
    }
}

/// A key of an object, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RawVisitor;

        impl<'de> Visitor<'de> for RawVisitor {
            type Value = Raw<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> Result<Raw<'de>, E> {
                Ok(Raw::Null)
            }

            fn visit_i64<E>(self, value: i64) -> Result<Raw<'de>, E> {
                Ok(Raw::Integer(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Raw<'de>, E> {
                Ok(i64::try_from(value).map_or(Raw::Other, Raw::Integer))
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Raw<'de>, E> {
                Ok(Raw::Text(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Raw<'de>, E> {
                Ok(Raw::Text(Cow::Owned(value.to_owned())))
            }

            fn visit_string<E>(self, value: String) -> Result<Raw<'de>, E> {
                Ok(Raw::Text(Cow::Owned(value)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Raw<'de>, E> {
                Ok(Raw::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Raw<'de>, E> {
                Ok(Raw::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Raw::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Raw::Other)
            }
        }

        deserializer.deserialize_any(RawVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
