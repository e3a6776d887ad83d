//! What becomes of items on their way from a database of other rules, or to a place with other URLs.

use std::collections::BTreeMap;
use std::io;

use syncstorage_db_common::{BsoId, CollectionName, Sink, StoredBso, StoredItem, SyncTimestamp};
use tokenserver_db_common::{TokenItem, same_url};

use super::Item;

/// Passes on what this server can hold, and leaves out the rest: what comes from another server's tables was checked by
/// other rules.
pub struct Sieve<'a> {
    to: &'a mut dyn Sink<Item>,
    /// What was left out.
    pub left_out: u64,
    /// The domains of the users' e-mails, with the number of their rows.
    pub domains: BTreeMap<String, u64>,
}

impl<'a> Sieve<'a> {
    /// A sieve before `to`.
    pub fn new(to: &'a mut dyn Sink<Item>) -> Self {
        Self { to, left_out: 0, domains: BTreeMap::new() }
    }
}

impl Sink<Item> for Sieve<'_> {
    fn push(&mut self, mut item: Item) -> io::Result<()> {
        let named = |name: &CollectionName| CollectionName::new(name.as_str()).is_ok();
        // A time that no server gives, such as one before the epoch, is as early as can be.
        let clamp = |time: &mut SyncTimestamp| *time = (*time).max(SyncTimestamp::from_ms(SyncTimestamp::TICK_MS));
        match &mut item {
            Item::Storage(StoredItem::Store { modified, .. } | StoredItem::Collection { modified, .. }) => {
                clamp(modified);
            }
            Item::Storage(StoredItem::Bso(StoredBso { bso, .. })) => clamp(&mut bso.modified),
            Item::Token(_) => {}
        }
        let good = match &item {
            Item::Storage(StoredItem::Collection { at, .. }) => named(&at.collection),
            Item::Storage(StoredItem::Bso(StoredBso { at, bso, .. })) => {
                named(&at.collection) && BsoId::new(bso.id.as_str()).is_ok() && !bso.payload.contains('\0')
            }
            Item::Token(TokenItem::User(user)) => user.uid >= 0 && !user.email.contains('\0'),
            Item::Storage(StoredItem::Store { .. }) | Item::Token(_) => true,
        };
        if !good {
            self.left_out += 1;
            return Ok(());
        }
        if let Item::Token(TokenItem::User(user)) = &item {
            let domain = user.email.rsplit_once('@').map_or("", |(_, domain)| domain);
            *self.domains.entry(domain.to_owned()).or_default() += 1;
        }
        self.to.push(item)
    }
}

/// Passes on items, with other URLs of nodes in the place of some.
pub struct Renaming<'a> {
    /// Where they go.
    pub to: &'a mut dyn Sink<Item>,
    /// Old URLs and new ones.
    pub urls: &'a [(String, String)],
}

impl Sink<Item> for Renaming<'_> {
    fn push(&mut self, mut item: Item) -> io::Result<()> {
        if let Item::Token(TokenItem::Node(node)) = &mut item
            && let Some((_, new)) = self.urls.iter().find(|(old, _)| same_url(old, &node.url))
        {
            node.url.clone_from(new);
        }
        self.to.push(item)
    }
}

/// Whether these changes of URLs can be made: an error is a sentence. `nodes` are the URLs that there are.
pub fn check_renames(nodes: &[String], urls: &[(String, String)]) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for (old, new) in urls {
        if seen.iter().any(|before| same_url(before, old)) {
            return Err(format!("--node-url names {old} twice"));
        }
        if !nodes.iter().any(|node| same_url(node, old)) {
            let there = if nodes.is_empty() { "none".to_owned() } else { nodes.join(", ") };
            return Err(format!("--node-url {old}={new}: there is no node {old}; the nodes are: {there}"));
        }
        seen.push(old);
    }
    let renamed = |node: &String| {
        urls.iter().find(|(old, _)| same_url(old, node)).map_or_else(|| node.clone(), |(_, new)| new.clone())
    };
    let after: Vec<String> = nodes.iter().map(renamed).collect();
    for (n, (old, url)) in nodes.iter().zip(&after).enumerate() {
        let others = after.iter().enumerate().filter(|(other, _)| *other != n);
        if !same_url(old, url) && others.into_iter().any(|(_, other)| same_url(other, url)) {
            return Err(format!("--node-url {old}={url}: there is a node {url} already"));
        }
    }
    Ok(())
}
