//! Query strings.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, digest};
use syncstorage_db_common::{BatchId, BsoId, BsoQuery, CollectionName, Cursor, Sort, SyncTimestamp, TimeBound};

use super::error::{ApiError, WeaveCode};

/// The most ids that one request may name.
pub const MAX_IDS: usize = 100;

/// The parameters of a query string, percent-decoded. A `+` is a plus.
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Splits and decodes; what is no UTF-8 then is refused.
    pub fn parse(query: &'a str) -> Result<Self, ApiError> {
        let decode = |text: &'a str| {
            percent_decode_str(text).decode_utf8().map_err(|_| bad("the query is not UTF-8 once it is decoded"))
        };
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, ApiError>>()
            .map(Self)
    }

    /// A parameter's value; the same parameter twice is refused.
    pub fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_ref());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(bad(format!("{name} is given twice"))),
            (value, None) => Ok(value),
        }
    }

    /// The `ids`, without empty ones.
    pub fn ids(&self) -> Result<Option<Vec<BsoId>>, ApiError> {
        let Some(value) = self.get("ids")? else { return Ok(None) };
        let ids: Vec<BsoId> = value
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| BsoId::new(id).map_err(|error| bad(format!("ids: {error}"))))
            .collect::<Result<_, _>>()?;
        if ids.len() > MAX_IDS {
            return Err(bad(format!("ids: expected at most {MAX_IDS}, found {}", ids.len())));
        }
        Ok(Some(ids))
    }

    /// Refuses parameters that select something on other requests: where they do not, a request that has one would do
    /// more than it names.
    pub fn refuse(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| self.0.iter().any(|(found, _)| found == **name)) {
            Some(name) => Err(bad(format!("{name} selects nothing here"))),
            None => Ok(()),
        }
    }
}

fn bad(why: impl Into<String>) -> ApiError {
    ApiError::bad_request(WeaveCode::Unknown, why)
}

/// A GET of a collection.
#[derive(Debug, PartialEq)]
pub struct ListRequest {
    /// Whole records, not just their ids.
    pub full: bool,
    /// Which, and in which order.
    pub query: BsoQuery,
    /// What the offsets of this query's pages are bound to.
    binding: String,
}

const TAG_BYTES: usize = 8;

impl ListRequest {
    /// Of the parameters of a request to `collection`.
    pub fn parse(parameters: &Parameters<'_>, collection: &CollectionName) -> Result<Self, ApiError> {
        let bound = |name: &str| -> Result<Option<TimeBound>, ApiError> {
            let value = parameters.get(name)?;
            value.map(|text| text.parse().map_err(|error| bad(format!("{name}: {error}")))).transpose()
        };
        let sort = match parameters.get("sort")? {
            None => None,
            Some("newest") => Some(Sort::Newest),
            Some("oldest") => Some(Sort::Oldest),
            Some("index") => Some(Sort::Index),
            Some(other) => return Err(bad(format!("sort: expected newest, oldest or index, found {other:?}"))),
        };
        let limit = parameters
            .get("limit")?
            .map(|text| match text.bytes().all(|byte| byte.is_ascii_digit()) {
                true if !text.is_empty() => Ok(text.parse().unwrap_or(u64::MAX)),
                _ => Err(bad(format!("limit: expected a number, found {text:?}"))),
            })
            .transpose()?;
        let full = parameters.get("full")?.is_some();
        let mut query = BsoQuery {
            ids: parameters.ids()?,
            newer: bound("newer")?,
            older: bound("older")?,
            sort: sort.unwrap_or_default(),
            limit,
            after: None,
        };
        let binding = binding(&query, full, collection);
        if let Some(offset) = parameters.get("offset")? {
            let cursor = decode_offset(offset, &binding).filter(|cursor| cursor.fits(query.sort));
            query.after = Some(cursor.ok_or_else(|| {
                bad("offset: expected what X-Weave-Next-Offset of the page before said, with the same query")
            })?);
        }
        Ok(Self { full, query, binding })
    }

    /// The offset of the page that begins after `cursor`, for `X-Weave-Next-Offset`.
    #[must_use]
    pub fn offset(&self, cursor: &Cursor) -> String {
        let (kind, key, id) = match cursor {
            Cursor::Modified(modified, id) => (b'm', modified.as_ms(), id),
            Cursor::Index(Some(sortindex), id) => (b'i', i64::from(*sortindex), id),
            Cursor::Index(None, id) => (b'n', 0, id),
        };
        let place = [&[kind], key.to_be_bytes().as_slice(), id.as_str().as_bytes()].concat();
        URL_SAFE_NO_PAD.encode([tag(&self.binding, &place).as_slice(), &place].concat())
    }
}

/// All that a page sequence depends on but its `limit`.
fn binding(query: &BsoQuery, full: bool, collection: &CollectionName) -> String {
    format!("{collection} {full} {:?} {:?} {:?} {:?}", query.ids, query.newer, query.older, query.sort)
}

/// What tells an offset that was given out for a query from one for another query, or from one that was cut off.
fn tag(binding: &str, place: &[u8]) -> [u8; TAG_BYTES] {
    let mut tag = [0; TAG_BYTES];
    tag.copy_from_slice(&digest(&SHA256, &[binding.as_bytes(), b"\n", place].concat()).as_ref()[..TAG_BYTES]);
    tag
}

fn decode_offset(offset: &str, binding: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(offset).ok()?;
    let (given, rest) = bytes.split_first_chunk::<TAG_BYTES>()?;
    if *given != tag(binding, rest) {
        return None;
    }
    let (kind, rest) = rest.split_first()?;
    let (key, id) = rest.split_first_chunk::<8>()?;
    let key = i64::from_be_bytes(*key);
    let id = BsoId::new(std::str::from_utf8(id).ok()?).ok()?;
    match kind {
        b'm' => Some(Cursor::Modified(SyncTimestamp::from_ms(key), id)),
        b'i' => Some(Cursor::Index(Some(i32::try_from(key).ok()?), id)),
        b'n' => Some(Cursor::Index(None, id)),
        _ => None,
    }
}

/// What a POST is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostMode {
    /// Nothing: it is written at once.
    Plain,
    /// It opens a batch.
    Create,
    /// It adds to a batch.
    Append(BatchId),
    /// It adds to a batch and commits it.
    Commit(BatchId),
}

impl PostMode {
    /// Of the parameters of a request.
    pub fn parse(parameters: &Parameters<'_>) -> Result<Self, ApiError> {
        let is_true = |text: &str| text.eq_ignore_ascii_case("true");
        let commit = match parameters.get("commit")? {
            None => false,
            Some(text) if is_true(text) => true,
            Some(other) => return Err(bad(format!("commit: expected true, found {other:?}"))),
        };
        match (parameters.get("batch")?, commit) {
            (None, false) => Ok(Self::Plain),
            (None, true) => Err(bad("commit goes with a batch parameter")),
            (Some(batch), true) if is_true(batch) => Ok(Self::Plain),
            (Some(batch), false) if is_true(batch) => Ok(Self::Create),
            (Some(batch), true) => Ok(Self::Commit(BatchId(batch.to_owned()))),
            (Some(batch), false) => Ok(Self::Append(BatchId(batch.to_owned()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(query: &str) -> Result<ListRequest, ApiError> {
        ListRequest::parse(&Parameters::parse(query)?, &CollectionName::new("bookmarks").unwrap())
    }

    fn ids(query: &str) -> Vec<String> {
        list(query).unwrap().query.ids.unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_query_says_what_to_read() {
        let request = list("full=&newer=1.5&older=2&sort=index&limit=7&unknown=x&&").unwrap();
        assert!(request.full);
        assert_eq!(request.query.newer.unwrap().floor_ms(), 1500);
        assert_eq!(request.query.older.unwrap().ceil_ms(), 2000);
        assert_eq!((request.query.sort, request.query.limit), (Sort::Index, Some(7)));
        assert!(!list("").unwrap().full);
        assert!(list("full").unwrap().full);
    }

    #[test]
    fn ids_are_decoded_first_and_split_then() {
        assert_eq!(ids("ids=a,b%2Cc,d+e,%7Bf%7D,g=h"), ["a", "b", "c", "d+e", "{f}", "g=h"]);
        assert_eq!(ids("ids="), [""; 0]);
        assert_eq!(ids("ids=a,,b,"), ["a", "b"]);
    }

    #[test]
    fn what_is_no_valid_value_is_refused() {
        for query in [
            "newer=-1",
            "newer=1e3",
            "newer=",
            "older=x",
            "limit=-1",
            "limit=",
            "limit=1.0",
            "limit=+1",
            "sort=",
            "sort=Newest",
            "offset=",
            "offset=abc",
            "ids=%00",
            "ids=a%0Ab",
            "ids=%FF",
            "limit=1&limit=2",
        ] {
            assert!(list(query).is_err(), "{query}");
        }
        let many = |count: usize| format!("ids={}", vec!["x"; count].join(","));
        assert!(list(&many(100)).is_ok());
        assert!(list(&many(101)).is_err());
    }

    #[test]
    fn an_offset_is_bound_to_its_query_without_the_limit() {
        let id = BsoId::new("a/b+c=").unwrap();
        for (query, cursor) in [
            ("full=1", Cursor::Modified(SyncTimestamp::from_ms(1_388_635_807_410), id.clone())),
            ("sort=newest&newer=5", Cursor::Modified(SyncTimestamp::from_ms(10), id.clone())),
            ("sort=index", Cursor::Index(Some(-999_999_999), id.clone())),
            ("sort=index&full", Cursor::Index(None, id)),
        ] {
            let offset = list(&format!("{query}&limit=2")).unwrap().offset(&cursor);
            let next = list(&format!("{query}&limit=9&offset={offset}")).unwrap();
            assert_eq!(next.query.after, Some(cursor), "{query}");
            assert!(list(&format!("{query}&older=9&offset={offset}")).is_err(), "{query}");
        }
    }

    #[test]
    fn a_post_is_plain_or_part_of_a_batch() {
        let mode = |query: &str| PostMode::parse(&Parameters::parse(query).unwrap()).map_err(|error| error.to_string());
        let batch = |id: &str| BatchId(id.to_owned());
        assert_eq!(mode(""), Ok(PostMode::Plain));
        assert_eq!(mode("batch=true"), Ok(PostMode::Create));
        assert_eq!(mode("batch=true&commit=TRUE"), Ok(PostMode::Plain));
        assert_eq!(mode("batch=MTI%3D"), Ok(PostMode::Append(batch("MTI="))));
        assert_eq!(mode("batch=MTI=&commit=true"), Ok(PostMode::Commit(batch("MTI="))));
        for bad in ["commit=true", "batch=1&commit=false", "batch=1&commit=", "batch=1&commit=1"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(query in "\\PC*") {
            let _ = list(&query);
            let _ = Parameters::parse(&query).map(|parameters| PostMode::parse(&parameters).is_ok());
        }

        #[test]
        fn any_id_comes_through_an_offset(key in 0..i64::MAX / 4, id in "[ -~]{1,64}") {
            let cursor = Cursor::Modified(SyncTimestamp::from_ms(key), BsoId::new(id).unwrap());
            let offset = list("").unwrap().offset(&cursor);
            prop_assert!(offset.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
            prop_assert_eq!(list(&format!("offset={offset}")).unwrap().query.after, Some(cursor));
        }
    }
}
