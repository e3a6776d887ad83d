//! The one thread that writes: group commit.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::sqlite::SqliteConnection;
use syncstorage_db_common::Fault;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::pauses::Pauses;
use crate::sql::sql;
use crate::writer_status::{COMMIT_SIZES, Figures, WriterStatus};

/// At most so many writes in one transaction, so that the first of them does not wait for ever.
const MAX_GROUP: usize = 256;

// Else the largest transactions would be counted among smaller ones.
const _: () = assert!(COMMIT_SIZES[COMMIT_SIZES.len() - 1] == MAX_GROUP as u64);

/// A transaction takes no further writes when it has run so long.
const MAX_GROUP_TIME: Duration = Duration::from_millis(50);

/// The thread ends only with the engine; before that it can only have panicked.
const GONE: &str = "the thread that writes to the database has ended; restart the server";

/// One write that waits for its turn, then for the commit of the transaction it was part of.
trait Job: Send {
    /// Whether it is still worth running; if not, it has been answered.
    fn is_wanted(&mut self) -> bool;
    /// Does the work; whether to keep what it wrote.
    fn run(&mut self, conn: &mut SqliteConnection) -> bool;
    /// Tells the one who asked. `failed`: the transaction was not committed, whatever the work said.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Write<T, E, F> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: Option<oneshot::Sender<Result<T, E>>>,
    deadline: Instant,
    figures: Arc<Figures>,
}

impl<T, E, F> Job for Write<T, E, F>
where
    T: Send,
    E: Send + From<Fault>,
    F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send,
{
    fn is_wanted(&mut self) -> bool {
        if self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return false;
        }
        if Instant::now() > self.deadline {
            self.figures.refused();
            self.send(Err(Fault::unavailable("the write waited too long for its turn").into()));
            return false;
        }
        true
    }

    fn run(&mut self, conn: &mut SqliteConnection) -> bool {
        let Some(work) = self.work.take() else { return false };
        let result = catch_unwind(AssertUnwindSafe(|| work(conn)))
            .unwrap_or_else(|panic| Err(Fault::internal(panic_message(panic.as_ref())).into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn answer(mut self: Box<Self>, failed: Option<&str>) {
        let unavailable = |why: &str| Err(Fault::unavailable(why.to_owned()).into());
        let result = match failed {
            // A refusal, too: it may be owed to a write of the same transaction, which has not happened now.
            Some(why) => unavailable(why),
            None => self.result.take().unwrap_or_else(|| unavailable("the write was not run")),
        };
        self.send(result);
    }
}

impl<T, E, F> Write<T, E, F> {
    fn send(&mut self, result: Result<T, E>) {
        if let Some(reply) = self.reply.take() {
            // Nobody there any more: the client went away.
            let _ = reply.send(result);
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("a write panicked: {}", text.unwrap_or("(no message)"))
}

/// The queue to the thread that writes. Dropping it drains the queue and ends the thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    wait_limit: Duration,
    figures: Arc<Figures>,
}

impl Writer {
    /// Starts the thread. `queue_length`: how many writes may wait; `wait_limit`: how long each of them may.
    pub(crate) fn start(conn: SqliteConnection, queue_length: usize, wait_limit: Duration) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(queue_length);
        let figures = Arc::<Figures>::default();
        let of_thread = Arc::clone(&figures);
        let thread =
            std::thread::Builder::new().name("sqlite-writer".into()).spawn(move || run(conn, jobs, &of_thread))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), wait_limit, figures })
    }

    /// Has `work` done in a transaction and waits until that is on disk.
    pub(crate) async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Write {
            work: Some(work),
            result: None,
            reply: Some(reply),
            deadline: Instant::now() + self.wait_limit,
            figures: Arc::clone(&self.figures),
        };
        let queue = self.queue.as_ref().ok_or_else(|| Fault::unavailable("the database is closed"))?;
        queue.try_send(Box::new(job)).map_err(|error| {
            Fault::unavailable(match error {
                TrySendError::Full(_) => {
                    self.figures.refused();
                    "too many writes wait for the database"
                }
                TrySendError::Closed(_) => GONE,
            })
        })?;
        answer.await.unwrap_or_else(|_| Err(Fault::unavailable(GONE).into()))
    }

    /// What waits and what was done.
    pub(crate) fn status(&self) -> WriterStatus {
        let queue = self.queue.as_ref();
        let (queued, capacity) =
            queue.map_or((0, 0), |queue| (queue.max_capacity() - queue.capacity(), queue.max_capacity()));
        self.figures.status(queued, capacity)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

fn run(mut conn: SqliteConnection, mut jobs: mpsc::Receiver<Box<dyn Job>>, figures: &Figures) {
    let mut group: Vec<Box<dyn Job>> = Vec::new();
    let mut pauses = Pauses::new(Instant::now());
    loop {
        let idle_since = Instant::now();
        let Some(first) = jobs.blocking_recv() else { return };
        if let Some(pause) = pauses.due(idle_since, Instant::now()) {
            std::thread::sleep(pause);
        }
        let outcome = transaction(&mut conn, first, &mut jobs, &mut group);
        if outcome.is_err() {
            // The transaction may be gone already: SQLite ends it itself on some errors.
            let _ = sql("ROLLBACK").run(&mut conn);
        }
        figures.transaction(group.len(), outcome.is_ok());
        let failed = outcome.err().map(|fault| fault.reason());
        for job in group.drain(..) {
            job.answer(failed.as_deref());
        }
    }
}

/// Runs `first` and what waits behind it in one transaction; all that ran and is not answered yet is in `group` then.
fn transaction(
    conn: &mut SqliteConnection,
    first: Box<dyn Job>,
    jobs: &mut mpsc::Receiver<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<(), Fault> {
    let mut started = None;
    let mut next = Some(first);
    while let Some(mut job) = next {
        let mut wanted = job.is_wanted();
        if wanted && started.is_none() {
            if let Err(fault) = sql("BEGIN IMMEDIATE").run(conn) {
                // Those that wait would only wait for the same lock, one after the other.
                group.push(job);
                group.extend(std::iter::from_fn(|| jobs.try_recv().ok()));
                return Err(fault);
            }
            started = Some(Instant::now());
            // Another program may have had the lock for so long that nobody waits for this one any more.
            wanted = job.is_wanted();
        }
        if wanted {
            // From now on it gets whatever answer the transaction gets.
            group.push(job);
            sql("SAVEPOINT job").run(conn)?;
            if !group.last_mut().is_some_and(|job| job.run(conn)) {
                roll_back(conn, group)?;
            }
            sql("RELEASE job").run(conn)?;
        }
        let full = group.len() >= MAX_GROUP || started.is_some_and(|started| started.elapsed() > MAX_GROUP_TIME);
        next = if full { None } else { jobs.try_recv().ok() };
    }
    if started.is_some() {
        sql("COMMIT").run(conn)?;
    }
    Ok(())
}

/// Undoes what the last of `group` has written. On some errors, such as a full disk, SQLite has ended the transaction
/// itself, and the savepoint with it. Only the write that met the error knows what it was, so it is answered with that;
/// the others have to be told that they were undone.
fn roll_back(conn: &mut SqliteConnection, group: &mut Vec<Box<dyn Job>>) -> Result<(), Fault> {
    let Err(fault) = sql("ROLLBACK TO job").run(conn) else { return Ok(()) };
    if !fault.reason().contains("no such savepoint") {
        return Err(fault);
    }
    if let Some(job) = group.pop() {
        job.answer(None);
    }
    Err(Fault::unavailable("another write failed so that SQLite undid all that were to be committed with it"))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    async fn refusal(writer: &Writer) -> String {
        let refused = writer.write(|_| Ok::<(), Fault>(())).await.unwrap_err();
        assert!(matches!(refused, Fault::Unavailable(_)), "{refused:?}");
        refused.source().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_refusal_tells_a_full_queue_from_a_thread_that_is_gone() {
        let (queue, jobs) = mpsc::channel(1);
        let wait_limit = Duration::from_secs(10);
        let writer = Writer { queue: Some(queue), thread: None, wait_limit, figures: Arc::default() };
        let waiting = writer.write(|_| Ok::<(), Fault>(()));
        let mut waiting = std::pin::pin!(waiting);
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut waiting).await.is_err());
        assert_eq!(refusal(&writer).await, "too many writes wait for the database");
        assert_eq!((writer.status().queued, writer.status().capacity, writer.status().refused), (1, 1, 1));
        drop(jobs);
        assert_eq!(refusal(&writer).await, GONE);
        assert_eq!(waiting.await.unwrap_err().source().unwrap().to_string(), GONE);
    }
}
