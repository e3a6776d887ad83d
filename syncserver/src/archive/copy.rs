//! Bringing items from wherever they are read into databases.
//!
//! One thread reads and takes apart, the other one writes, so that neither waits for the other much; between them are a
//! few chunks at most, whatever the amount.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use syncstorage_db_common::{DbError, DbResult, Fault, Sink, StorageSource, StorageTarget, StoredBso, StoredItem};
use tokenserver_db_common::{Numbers, TokenItem, TokenSource, TokenTarget};

use super::{Counts, Item};
use crate::causes::chain;

/// A chunk is what a database takes in one transaction: at most so many items…
const CHUNK_ITEMS: usize = 1000;

/// …and about so many bytes of payload.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Chunks that wait.
const WAITING: usize = 2;

/// By so much a restore and an import raise the greatest number of users. A token names its user by number and is good
/// for an hour; one that was given out after the backup was made names a number that the backup does not know, and that
/// must not be given to somebody else meanwhile.
pub const GAP: i64 = 1_000_000;

/// No counter gets here by counting, so that it need not be told of greater numbers.
const OUT_OF_REACH: i64 = i64::MAX / 2;

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

    /// The URLs of the nodes.
    pub async fn node_urls(&self) -> DbResult<Vec<String>> {
        let Some(tokens) = &self.tokens else { return Ok(Vec::new()) };
        let mut nodes = NodesOnly::default();
        let dumped = tokens.dump(&mut nodes).await;
        if !nodes.is_done {
            dumped?;
        }
        Ok(nodes.urls)
    }

    /// Whether there are accounts in it at all: not in another server's tables.
    pub async fn know_accounts(&self) -> Result<bool, Fault> {
        match &self.tokens {
            Some(tokens) => tokens.knows_accounts().await,
            None => Ok(false),
        }
    }

    /// [`Self::dump`] on the thread that it is called on, which has no runtime.
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

/// Takes the nodes, which come first, and then no more.
#[derive(Default)]
struct NodesOnly {
    urls: Vec<String>,
    is_done: bool,
}

impl Sink<TokenItem> for NodesOnly {
    fn push(&mut self, item: TokenItem) -> io::Result<()> {
        if let TokenItem::Node(node) = item {
            self.urls.push(node.url);
            return Ok(());
        }
        self.is_done = true;
        Err(io::Error::other("these were all nodes"))
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

    /// Removes all that is in them; of the accounts, only if `accounts`.
    pub async fn clear(&self, accounts: bool) -> Result<(), Fault> {
        self.storage.clear().await?;
        self.tokens.clear(accounts).await
    }

    /// Fills them with all that `produce` hands over: [`Incoming::begin`] and [`Self::take`] in one.
    pub async fn fill<P>(&self, produce: P, stop: &Stop, step: impl Fn(Counts)) -> Result<Counts, String>
    where
        P: FnOnce(&mut dyn Sink<Item>) -> Result<(), String> + Send + 'static,
    {
        self.take(Incoming::begin(produce, stop).await?, 0, step).await
    }

    /// Fills them with all that comes in; what it was. `step` is told after each chunk how much is there. The greatest
    /// number of users is that of the source, or the greatest that any of its storage or rows has, and `gap` more.
    pub async fn take(&self, incoming: Incoming, gap: i64, step: impl Fn(Counts)) -> Result<Counts, String> {
        let Incoming { mut first, mut chunks, producer } = incoming;
        let (mut counts, mut numbers) = (Counts::default(), Numbers::default());
        let filled = loop {
            let chunk = match first.take() {
                Some(chunk) => Some(chunk),
                None => {
                    let (chunk, rest) = next(chunks).await?;
                    chunks = rest;
                    chunk
                }
            };
            let Some(mut chunk) = chunk else { break Ok(()) };
            for item in &chunk {
                counts.add(item);
                note_numbers(&mut numbers, item);
            }
            // They come last, when all are known.
            chunk.retain(|item| !matches!(item, Item::Token(TokenItem::Numbers(_))));
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
        numbers.uid = numbers.uid.saturating_add(gap);
        self.tokens.load(vec![TokenItem::Numbers(numbers)]).await.map_err(|error| chain(&error))?;
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

/// Raises the numbers to those that an item has.
fn note_numbers(numbers: &mut Numbers, item: &Item) {
    let (uid, node) = match item {
        Item::Storage(StoredItem::Store { user, .. }) => (user.get(), 0),
        Item::Storage(StoredItem::Collection { at, .. }) => (at.user.get(), 0),
        Item::Storage(StoredItem::Bso(StoredBso { at, .. })) => (at.user.get(), 0),
        Item::Token(TokenItem::User(user)) => (user.uid, 0),
        Item::Token(TokenItem::Node(node)) => (0, node.id),
        Item::Token(TokenItem::Device(device)) => (device.uid, 0),
        Item::Token(TokenItem::Account(_)) => (0, 0),
        Item::Token(TokenItem::Numbers(given)) => (given.uid, given.node),
    };
    let within = |number: i64| if number < OUT_OF_REACH { number } else { 0 };
    numbers.uid = numbers.uid.max(within(uid));
    numbers.node = numbers.node.max(within(node));
}

/// What is being read from somewhere, on a thread of its own.
pub struct Incoming {
    /// The first of all, if there is any.
    first: Option<Vec<Item>>,
    chunks: Receiver<Vec<Item>>,
    producer: JoinHandle<Result<(), String>>,
}

impl Incoming {
    /// Has `produce` hand over what there is, and waits for the first of it.
    pub async fn begin<P>(produce: P, stop: &Stop) -> Result<Self, String>
    where
        P: FnOnce(&mut dyn Sink<Item>) -> Result<(), String> + Send + 'static,
    {
        let (sender, chunks) = sync_channel(WAITING);
        let told = stop.clone();
        let producer = std::thread::spawn(move || {
            let mut chunker = Chunker { sender, stop: told, chunk: Vec::new(), bytes: 0 };
            produce(&mut chunker)?;
            chunker.send().map_err(|error| error.to_string())
        });
        let (first, chunks) = next(chunks).await?;
        if first.is_none() {
            // It is at its end, and perhaps since it failed.
            producer.join().map_err(|_| "the reading thread panicked".to_owned())??;
            return Ok(Self { first, chunks, producer: std::thread::spawn(|| Ok(())) });
        }
        Ok(Self { first, chunks, producer })
    }

    /// Whether nothing comes: no store, no user and no account.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_contents =
            |item: &Item| matches!(item, Item::Storage(_) | Item::Token(TokenItem::User(_) | TokenItem::Account(_)));
        // A first chunk without any of these holds nodes alone, and there are never so many that it is not the last.
        !self.first.iter().flatten().any(is_contents)
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
