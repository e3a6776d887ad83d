//! The lines of a backup: each a JSON object with one member, whose name says what it is.
//!
//! Times are milliseconds since the epoch. What is null is left out. A line of the storage is about the user and the
//! collection that the lines before it named.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use syncstorage_db_common::{Bso, BsoId, CollectionName, CollectionRef, StoredBso, StoredItem, SyncTimestamp, UserId};
use tokenserver_db_common::{AccountItem, DeviceItem, NodeItem, Numbers, TokenItem, UserItem};

use super::{Counts, Item};

/// The version of the format that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// See [`VERSION`].
    pub version: u32,
    /// When the backup was begun, by RFC 3339.
    pub created: String,
    /// The version of the program that made it.
    pub server: String,
    /// What the storage's database was: `sqlite`, `postgres` or `mysql`.
    pub storage: String,
    /// What the tokenserver's was.
    pub tokenserver: String,
}

/// The first line as it stands there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeaderLine<H> {
    pub(super) syncserver_backup: H,
}

/// What every version's header has.
#[derive(Debug, Deserialize)]
pub(super) struct VersionOnly {
    pub(super) version: u32,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    Store(Store),
    #[serde(borrow)]
    Collection(Collection<'a>),
    #[serde(borrow)]
    Bso(Record<'a>),
    #[serde(borrow)]
    Node(Node<'a>),
    #[serde(borrow)]
    User(User<'a>),
    #[serde(borrow)]
    Account(Account<'a>),
    #[serde(borrow)]
    Device(Device<'a>),
    Numbers(Greatest),
    End(End),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    user: i64,
    modified: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Collection<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    modified: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    modified: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sortindex: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry: Option<i64>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node<'a> {
    id: i64,
    #[serde(borrow)]
    url: Cow<'a, str>,
    available: i64,
    current_load: i64,
    capacity: i64,
    downed: i64,
    backoff: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User<'a> {
    uid: i64,
    #[serde(borrow)]
    email: Cow<'a, str>,
    generation: i64,
    #[serde(borrow)]
    client_state: Cow<'a, str>,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_at: Option<i64>,
    nodeid: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys_changed_at: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account<'a> {
    #[serde(borrow)]
    email: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decided_at: Option<i64>,
    refusals: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_first: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_last: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device<'a> {
    uid: i64,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    first_seen: i64,
    last_seen: i64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Greatest {
    uid: i64,
    node: i64,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub(super) counts: Counts,
    /// The SHA-256 of all lines before this one, line breaks included, in hex.
    pub(super) sha256: String,
}

impl<'a> Line<'a> {
    /// The line of an item.
    pub(super) fn of(item: &'a Item) -> Self {
        match item {
            Item::Storage(StoredItem::Store { user, modified }) => {
                Self::Store(Store { user: user.get(), modified: modified.as_ms() })
            }
            Item::Storage(StoredItem::Collection { at, modified }) => {
                Self::Collection(Collection { name: at.collection.as_str().into(), modified: modified.as_ms() })
            }
            Item::Storage(StoredItem::Bso(StoredBso { bso, expiry, .. })) => Self::Bso(Record {
                id: bso.id.as_str().into(),
                modified: bso.modified.as_ms(),
                sortindex: bso.sortindex,
                expiry: *expiry,
                payload: bso.payload.as_str().into(),
            }),
            Item::Token(TokenItem::Node(node)) => Self::Node(Node {
                id: node.id,
                url: node.url.as_str().into(),
                available: node.available,
                current_load: node.current_load,
                capacity: node.capacity,
                downed: node.downed,
                backoff: node.backoff,
            }),
            Item::Token(TokenItem::User(user)) => Self::User(User {
                uid: user.uid,
                email: user.email.as_str().into(),
                generation: user.generation,
                client_state: user.client_state.as_str().into(),
                created_at: user.created_at,
                replaced_at: user.replaced_at,
                nodeid: user.nodeid,
                keys_changed_at: user.keys_changed_at,
            }),
            Item::Token(TokenItem::Account(account)) => Self::Account(Account {
                email: account.email.as_str().into(),
                verdict: account.verdict.clone(),
                decided_at: account.decided_at,
                refusals: account.refusals,
                refused_first: account.refused_first,
                refused_last: account.refused_last,
                reason: account.reason.clone(),
            }),
            Item::Token(TokenItem::Device(device)) => Self::Device(Device {
                uid: device.uid,
                agent: device.agent.as_str().into(),
                user_agent: device.user_agent.as_str().into(),
                first_seen: device.first_seen,
                last_seen: device.last_seen,
            }),
            Item::Token(TokenItem::Numbers(Numbers { uid, node })) => {
                Self::Numbers(Greatest { uid: *uid, node: *node })
            }
        }
    }
}

/// Where a reader is: what the lines so far have named.
#[derive(Debug, Default)]
pub(super) struct Place {
    user: Option<UserId>,
    collection: Option<Arc<CollectionRef>>,
    tokens: bool,
}

/// What a line stands for.
#[derive(Debug)]
pub(super) enum Parsed {
    Item(Item),
    End(End),
}

impl Place {
    /// What a line says here; an error is what is wrong with it, as the rest of a sentence.
    pub(super) fn parse(&mut self, text: &[u8]) -> Result<Parsed, String> {
        let line: Line<'_> = serde_json::from_slice(text).map_err(|error| {
            // What a line holds is nobody's business.
            format!("is not a line of this format (a {:?} error at its byte {})", error.classify(), error.column())
        })?;
        let item = match line {
            Line::Store(_) | Line::Collection(_) | Line::Bso(_) if self.tokens => {
                return Err("belongs to the storage, and stands after lines of the tokenserver".into());
            }
            Line::Store(store) => self.store(&store)?,
            Line::Collection(collection) => self.collection(collection)?,
            Line::Bso(record) => self.record(record)?,
            Line::Node(node) => TokenItem::from(node).into(),
            Line::User(user) => TokenItem::from(user).into(),
            Line::Account(account) => TokenItem::from(account).into(),
            Line::Device(device) => TokenItem::from(device).into(),
            Line::Numbers(Greatest { uid, node }) => TokenItem::Numbers(Numbers { uid, node }).into(),
            Line::End(end) => return Ok(Parsed::End(end)),
        };
        self.tokens |= matches!(item, Item::Token(_));
        Ok(Parsed::Item(item))
    }

    fn store(&mut self, store: &Store) -> Result<Item, String> {
        let user = UserId::try_from(store.user).map_err(|error| format!("is about no user: {error}"))?;
        if self.user.is_some_and(|before| before >= user) {
            return Err("is about a user that does not come after the one before it".into());
        }
        *self = Self { user: Some(user), collection: None, tokens: false };
        Ok(StoredItem::Store { user, modified: time(store.modified)? }.into())
    }

    fn collection(&mut self, Collection { name, modified }: Collection<'_>) -> Result<Item, String> {
        let user = self.user.ok_or("names a collection, and no line before it names a user")?;
        let collection = CollectionName::new(name).map_err(|error| format!("names no collection: {error}"))?;
        let at = Arc::new(CollectionRef { user, collection });
        self.collection = Some(Arc::clone(&at));
        Ok(StoredItem::Collection { at, modified: time(modified)? }.into())
    }

    fn record(&self, record: Record<'_>) -> Result<Item, String> {
        let at = self.collection.as_ref().ok_or("is a record, and no line before it names its collection")?;
        let id = BsoId::new(record.id).map_err(|error| format!("is a record without a good id: {error}"))?;
        if record.payload.contains('\0') {
            return Err("is a record whose payload holds U+0000".into());
        }
        let bso =
            Bso { id, modified: time(record.modified)?, sortindex: record.sortindex, payload: record.payload.into() };
        Ok(StoredItem::Bso(StoredBso { at: Arc::clone(at), bso, expiry: record.expiry }).into())
    }
}

fn time(ms: i64) -> Result<SyncTimestamp, String> {
    let time = SyncTimestamp::from_ms(ms);
    if time.as_ms() == ms && ms > 0 { Ok(time) } else { Err(format!("has the time {ms}, which no server gives")) }
}

impl From<StoredItem> for Item {
    fn from(item: StoredItem) -> Self {
        Self::Storage(item)
    }
}

impl From<TokenItem> for Item {
    fn from(item: TokenItem) -> Self {
        Self::Token(item)
    }
}

impl From<Node<'_>> for TokenItem {
    fn from(node: Node<'_>) -> Self {
        Self::Node(NodeItem {
            id: node.id,
            url: node.url.into(),
            available: node.available,
            current_load: node.current_load,
            capacity: node.capacity,
            downed: node.downed,
            backoff: node.backoff,
        })
    }
}

impl From<User<'_>> for TokenItem {
    fn from(user: User<'_>) -> Self {
        Self::User(UserItem {
            uid: user.uid,
            email: user.email.into(),
            generation: user.generation,
            client_state: user.client_state.into(),
            created_at: user.created_at,
            replaced_at: user.replaced_at,
            nodeid: user.nodeid,
            keys_changed_at: user.keys_changed_at,
        })
    }
}

impl From<Account<'_>> for TokenItem {
    fn from(account: Account<'_>) -> Self {
        Self::Account(AccountItem {
            email: account.email.into(),
            verdict: account.verdict,
            decided_at: account.decided_at,
            refusals: account.refusals,
            refused_first: account.refused_first,
            refused_last: account.refused_last,
            reason: account.reason,
        })
    }
}

impl From<Device<'_>> for TokenItem {
    fn from(device: Device<'_>) -> Self {
        Self::Device(DeviceItem {
            uid: device.uid,
            agent: device.agent.into(),
            user_agent: device.user_agent.into(),
            first_seen: device.first_seen,
            last_seen: device.last_seen,
        })
    }
}
