//! A BSO as it stands in a body, right or wrong.
//!
//! One wrong field must not fail the parsing of the whole body, so each is first taken as whatever it is, and judged when
//! the record is whole.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use syncstorage_db_common::{BsoChange, BsoId, Patch};

/// The largest sortindex; the smallest is its negative.
const MAX_SORTINDEX: i64 = 999_999_999;

/// The longest ttl, in seconds.
const MAX_TTL: i64 = 999_999_999;

/// A JSON value, as far as a field of a BSO can be one.
#[derive(Debug, Default)]
pub(super) enum Raw<'a> {
    #[default]
    Absent,
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Other,
}

impl Raw<'_> {
    /// The text, or nothing where it is none.
    pub(super) fn text(&self) -> String {
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
pub(super) struct RawBso<'a> {
    pub(super) id: Raw<'a>,
    sortindex: Raw<'a>,
    payload: Raw<'a>,
    ttl: Raw<'a>,
    problem: Option<&'static str>,
}

impl RawBso<'_> {
    /// The change that this is, to be made to the record `id`; or the reason why it is none.
    pub(super) fn into_change(self, id: BsoId) -> Result<BsoChange, &'static str> {
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
