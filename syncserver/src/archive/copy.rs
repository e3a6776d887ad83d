//! Bringing items from wherever they are read into databases.
//!
//! One thread reads and takes apart, the other one writes, so that neither waits for the other much; between them are a
//! few chunks at most, whatever the amount.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use syncstorage_db_common::{
    BsoId, CollectionName, DbError, DbResult, Fault, Sink, StorageSource, StorageTarget, StoredBso, StoredItem,
};
use tokenserver_db_common::{TokenItem, TokenSource, TokenTarget};

use super::{Counts, Item};
use crate::causes::chain;

/// A chunk is what a database takes in one transaction: at most so many items…
const CHUNK_ITEMS: usize = 1000;

/// …and about so many bytes of payload.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Chunks that wait.
const WAITING: usize = 2;

/// What is told to stop by somebody else. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Tells it.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was told.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error once it was told.
    pub fn check(&self) -> io::Result<()> {
        if self.is_told() { Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")) } else { Ok(()) }
    }
}

/// All that a server keeps, to be read.
#[derive(Clone)]
pub struct Sources {
    /// The storage.
    pub storage: Arc<dyn StorageSource>,
    /// The users and nodes; `None`: there are none.
    pub tokens: Option<Arc<dyn TokenSource>>,
}

impl Sources {
    /// Hands over all there is, without what has expired at `now_ms`.
    ///
    /// The storage comes first, of one moment, and then the tokenserver's rows, of a later one. A user who came in
    /// between has a row and an empty store, as one whose first upload was not done; the same goes for one who got a new
    /// key, and a new number with it. The other way round there could be storage of a number that no row knows, and that
    /// is given to somebody else.
    pub async fn dump(&self, now_ms: i64, sink: &mut dyn Sink<Item>) -> DbResult<()> {
        self.storage.dump(now_ms, &mut Into(&mut *sink)).await?;
        match &self.tokens {
            Some(tokens) => tokens.dump(&mut Into(sink)).await,
            None => Ok(()),
        }
    }

    /// The same on the thread that it is called on, which has no runtime.
    pub fn dump_here(&self, now_ms: i64, sink: &mut dyn Sink<Item>) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(self.dump(now_ms, sink)).map_err(|error| match error {
            // Its own words: these are about answers to clients.
            DbError::Output(error) => error.to_string(),
            error => chain(&error),
        })
    }
}

/// Takes what becomes an item.
struct Into<'a>(&'a mut dyn Sink<Item>);

impl<T: std::convert::Into<Item> + Send> Sink<T> for Into<'_> {
    fn push(&mut self, item: T) -> io::Result<()> {
        self.0.push(item.into())
    }
}

/// Databases to fill.
#[derive(Clone)]
pub struct Targets {
    /// For the storage.
    pub storage: Arc<dyn StorageTarget>,
    /// For the users and nodes.
    pub tokens: Arc<dyn TokenTarget>,
}

impl Targets {
    /// As what can be read.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources { storage: self.storage.clone(), tokens: Some(self.tokens.clone()) }
    }

    /// Whether there is nothing in them.
    pub async fn are_empty(&self) -> Result<bool, Fault> {
        Ok(self.storage.is_empty().await? && self.tokens.is_empty().await?)
    }

    /// Removes all that is in them.
    pub async fn clear(&self) -> Result<(), Fault> {
        self.storage.clear().await?;
        self.tokens.clear().await
    }

    /// Fills them with all that `produce`, on a thread of its own, hands over; what it was. `step` is told after each
    /// chunk how much is there.
    pub async fn fill<P>(&self, produce: P, stop: &Stop, step: impl Fn(Counts)) -> Result<Counts, String>
    where
        P: FnOnce(&mut dyn Sink<Item>) -> Result<(), String> + Send + 'static,
    {
        let (sender, mut chunks) = sync_channel(WAITING);
        let told = stop.clone();
        let producer = std::thread::spawn(move || {
            let mut chunker = Chunker { sender, stop: told, chunk: Vec::new(), bytes: 0 };
            produce(&mut chunker)?;
            chunker.send().map_err(|error| error.to_string())
        });
        let mut counts = Counts::default();
        let filled = loop {
            let (chunk, rest) = next(chunks).await?;
            chunks = rest;
            let Some(chunk) = chunk else { break Ok(()) };
            for item in &chunk {
                counts.add(item);
            }
            if let Err(error) = self.load(chunk).await {
                break Err(chain(&error));
            }
            step(counts);
        };
        // Whoever still sends is told by this that nobody takes it any more.
        drop(chunks);
        let produced = producer.join().map_err(|_| "the reading thread panicked".to_owned())?;
        filled?;
        produced?;
        Ok(counts)
    }

    async fn load(&self, chunk: Vec<Item>) -> Result<(), Fault> {
        let (mut storage, mut tokens) = (Vec::new(), Vec::new());
        for item in chunk {
            match item {
                Item::Storage(item) => storage.push(item),
                Item::Token(item) => tokens.push(item),
            }
        }
        if !storage.is_empty() {
            self.storage.load(storage).await?;
        }
        if !tokens.is_empty() {
            self.tokens.load(tokens).await?;
        }
        Ok(())
    }
}

/// The next chunk, without holding up the runtime's thread.
async fn next(chunks: Receiver<Vec<Item>>) -> Result<(Option<Vec<Item>>, Receiver<Vec<Item>>), String> {
    tokio::task::spawn_blocking(move || (chunks.recv().ok(), chunks)).await.map_err(|error| error.to_string())
}

/// Makes chunks of items.
struct Chunker {
    sender: SyncSender<Vec<Item>>,
    stop: Stop,
    chunk: Vec<Item>,
    bytes: usize,
}

impl Chunker {
    fn send(&mut self) -> io::Result<()> {
        self.stop.check()?;
        self.bytes = 0;
        if self.chunk.is_empty() {
            return Ok(());
        }
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the database took no more");
        self.sender.send(std::mem::take(&mut self.chunk)).map_err(gone)
    }
}

impl Sink<Item> for Chunker {
    fn push(&mut self, item: Item) -> io::Result<()> {
        if let Item::Storage(StoredItem::Bso(StoredBso { bso, .. })) = &item {
            self.bytes += bso.payload.len();
        }
        self.chunk.push(item);
        if self.chunk.len() >= CHUNK_ITEMS || self.bytes >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }
}

/// Passes on what this server can hold, and leaves out the rest: what comes from another server's tables was checked by
/// other rules.
pub struct Sieve<'a> {
    to: &'a mut dyn Sink<Item>,
    /// What was left out.
    pub left_out: u64,
}

impl<'a> Sieve<'a> {
    /// A sieve before `to`.
    pub fn new(to: &'a mut dyn Sink<Item>) -> Self {
        Self { to, left_out: 0 }
    }
}

impl Sink<Item> for Sieve<'_> {
    fn push(&mut self, item: Item) -> io::Result<()> {
        let named = |name: &CollectionName| CollectionName::new(name.as_str()).is_ok();
        let good = match &item {
            Item::Storage(StoredItem::Collection { at, .. }) => named(&at.collection),
            Item::Storage(StoredItem::Bso(StoredBso { at, bso, .. })) => {
                named(&at.collection) && BsoId::new(bso.id.as_str()).is_ok() && !bso.payload.contains('\0')
            }
            Item::Token(TokenItem::User(user)) => user.uid >= 0 && !user.email.contains('\0'),
            Item::Storage(StoredItem::Store { .. }) | Item::Token(_) => true,
        };
        if good {
            return self.to.push(item);
        }
        self.left_out += 1;
        Ok(())
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

/// Whether two URLs are the same but for a slash at the end.
#[must_use]
pub fn same_url(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}
