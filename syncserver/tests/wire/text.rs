//! What goes over the wire, as text, and what it stands for.

use std::fmt::Display;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use syncserver::web::query::{ListRequest, Parameters};
use syncstorage_db_common::{
    Bso, BsoChange, BsoId, BsoQuery, CollectionName, Patch, Sort, Stamped, SyncTimestamp, TimeBound,
};
use testclient::Response;

pub fn stamped<T>(response: &Response, value: T) -> Stamped<T> {
    Stamped { last_modified: time(response.header("X-Last-Modified").unwrap()), value }
}

/// A time with exactly two decimals.
pub fn time(text: &str) -> SyncTimestamp {
    let (_, decimals) = text.split_once('.').unwrap();
    assert_eq!(decimals.len(), 2, "{text}");
    SyncTimestamp::from_ms(text.parse::<TimeBound>().unwrap().floor_ms())
}

/// A bound with as many decimals as it takes.
pub fn seconds(bound: TimeBound) -> String {
    let inexact = if bound.ceil_ms() > bound.floor_ms() { "1" } else { "" };
    format!("{}.{:03}{inexact}", bound.floor_ms() / 1000, bound.floor_ms() % 1000)
}

pub fn encoded(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

pub fn encoded_list(ids: &[BsoId]) -> String {
    ids.iter().map(|id| encoded(id.as_str()).to_string()).collect::<Vec<_>>().join(",")
}

/// The query string, without an offset.
pub fn parameters(query: &BsoQuery, full: bool) -> String {
    let mut text = match query.sort {
        Sort::Newest => "sort=newest".to_owned(),
        Sort::Oldest => "sort=oldest".to_owned(),
        Sort::Index => "sort=index".to_owned(),
    };
    let mut add = |parameter: String| text.push_str(&format!("&{parameter}"));
    if full {
        add("full=1".into());
    }
    if let Some(ids) = &query.ids {
        add(format!("ids={}", encoded_list(ids)));
    }
    if let Some(newer) = query.newer {
        add(format!("newer={}", seconds(newer)));
    }
    if let Some(older) = query.older {
        add(format!("older={}", seconds(older)));
    }
    if let Some(limit) = query.limit {
        add(format!("limit={limit}"));
    }
    text
}

pub fn parsed(parameters: &str, collection: &CollectionName) -> ListRequest {
    ListRequest::parse(&Parameters::parse(parameters).unwrap(), collection).unwrap()
}

pub fn record(change: &BsoChange) -> Value {
    let mut record = json!({ "id": change.id.as_str() });
    let mut set = |name: &str, value: Patch<Value>| match value {
        Patch::Keep => {}
        Patch::Reset => record[name] = Value::Null,
        Patch::Set(value) => record[name] = value,
    };
    set("sortindex", value(change.sortindex.as_ref()));
    set("payload", value(change.payload.as_ref()));
    set("ttl", value(change.ttl.as_ref()));
    record
}

fn value<T: Clone + Into<Value>>(patch: Patch<&T>) -> Patch<Value> {
    match patch {
        Patch::Keep => Patch::Keep,
        Patch::Reset => Patch::Reset,
        Patch::Set(value) => Patch::Set(value.clone().into()),
    }
}

pub fn bso(value: &Value) -> Bso {
    let object = value.as_object().unwrap();
    assert!(object.keys().all(|name| ["id", "modified", "payload", "sortindex"].contains(&name.as_str())), "{value}");
    Bso {
        id: BsoId::new(value["id"].as_str().unwrap()).unwrap(),
        modified: number_as_time(&value["modified"]),
        sortindex: object.get("sortindex").map(|sortindex| i32::try_from(sortindex.as_i64().unwrap()).unwrap()),
        payload: value["payload"].as_str().unwrap().to_owned(),
    }
}

/// A bare JSON number; its decimals are looked at where it is text.
pub fn number_as_time(value: &Value) -> SyncTimestamp {
    SyncTimestamp::from_ms((value.as_f64().unwrap() * 1000.0).round() as i64)
}
