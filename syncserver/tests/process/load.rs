//! Clients that write without a pause, and a record of what the server has told them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{Client, record};
use crate::program::Server;

/// Users that the writers write for: two writers each, so that they meet.
const USERS: u64 = 3;

/// What one writer has sent.
#[derive(Debug)]
pub(crate) struct Journal {
    uid: u64,
    writes: Vec<Write>,
}

/// Records that were written at once: all of them are there, or none.
#[derive(Debug)]
struct Write {
    ids: Vec<String>,
    payload: String,
    acknowledged: bool,
}

/// How a writer writes.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Put,
    Post,
    Batch,
}

/// Writers that go on until the server is gone.
pub(crate) struct Load {
    writers: JoinSet<Journal>,
    acknowledged: Arc<AtomicUsize>,
}

impl Load {
    /// Starts them. The names of their records begin with `name`.
    pub(crate) async fn on(server: &Server, name: &str) -> Self {
        let (mut writers, acknowledged) = (JoinSet::new(), Arc::<AtomicUsize>::default());
        let kinds = [Kind::Put, Kind::Put, Kind::Post, Kind::Batch, Kind::Batch, Kind::Post];
        for (n, kind) in kinds.into_iter().enumerate() {
            let client = server.user(n as u64 % USERS + 1).await;
            writers.spawn(write(client, kind, format!("{name}-{n}"), Arc::clone(&acknowledged)));
        }
        Self { writers, acknowledged }
    }

    /// Waits until so many writes were acknowledged. Others are on their way then.
    pub(crate) async fn has_written(&self, writes: usize) {
        let begin = Instant::now();
        while self.acknowledged.load(Ordering::SeqCst) < writes {
            assert!(begin.elapsed() < Duration::from_secs(60), "only {:?} of {writes} writes", self.acknowledged);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for their end, which is the server's.
    pub(crate) async fn end(self) -> Vec<Journal> {
        self.writers.join_all().await
    }
}

async fn write(mut client: Client, kind: Kind, name: String, all_acknowledged: Arc<AtomicUsize>) -> Journal {
    let mut journal = Journal { uid: client.token.uid, writes: Vec::new() };
    loop {
        let n = journal.writes.len();
        let count = match kind {
            Kind::Put => 1,
            Kind::Post => 10,
            Kind::Batch => 15,
        };
        let ids: Vec<String> = (0..count).map(|k| format!("{name}-{n}-{k}")).collect();
        let payload = format!("{name}-{n} {}", "x".repeat(300));
        journal.writes.push(Write { ids: ids.clone(), payload: payload.clone(), acknowledged: false });
        let acknowledged = match kind {
            Kind::Put => put(&mut client, &ids[0], &payload).await,
            Kind::Post => post(&mut client, "", &ids, &payload).await.map(drop),
            Kind::Batch => batch(&mut client, &ids, &payload).await,
        };
        match (acknowledged, journal.writes.last_mut()) {
            (Some(()), Some(write)) => {
                write.acknowledged = true;
                all_acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            _ => return journal,
        }
    }
}

/// `None` when the server did not say that it has the record.
async fn put(client: &mut Client, id: &str, payload: &str) -> Option<()> {
    let answer = client.try_send("PUT", &format!("/storage/load/{id}"), Some(&record(payload))).await.ok()?;
    (answer.status == 200).then_some(())
}

/// The same of a POST; its answer.
async fn post(client: &mut Client, query: &str, ids: &[String], payload: &str) -> Option<Value> {
    let records: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "payload": payload })).collect();
    let target = format!("/storage/load{query}");
    let answer = client.try_send("POST", &target, Some(&json!(records).to_string())).await.ok()?;
    let body = (answer.status == 200 || answer.status == 202).then(|| answer.json())?;
    assert_eq!(body["success"].as_array().map(Vec::len), Some(ids.len()), "{answer:?}");
    Some(body)
}

/// The same of a batch of three requests.
async fn batch(client: &mut Client, ids: &[String], payload: &str) -> Option<()> {
    let third = ids.len() / 3;
    let begun = post(client, "?batch=true", &ids[..third], payload).await?;
    let id = begun["batch"].as_str().unwrap();
    post(client, &format!("?batch={id}"), &ids[third..2 * third], payload).await?;
    post(client, &format!("?batch={id}&commit=true"), &ids[2 * third..], payload).await.map(drop)
}

/// Checks that the server has every write that was acknowledged, and of each other write all or nothing; how many writes
/// were acknowledged.
pub(crate) async fn check(server: &Server, journals: &[Journal]) -> usize {
    let mut stored = BTreeMap::new();
    for uid in 1..=USERS {
        let answer = server.user(uid).await.get("/storage/load?full=1").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for bso in answer.json().as_array().unwrap() {
            let text = |name: &str| bso[name].as_str().unwrap().to_owned();
            assert!(stored.insert((uid, text("id")), text("payload")).is_none());
        }
    }
    let mut acknowledged = 0;
    for journal in journals {
        for write in &journal.writes {
            let found = write.ids.iter().filter(|id| {
                let payload = stored.remove(&(journal.uid, (*id).clone()));
                payload.as_deref() == Some(write.payload.as_str())
            });
            let found = found.count();
            if write.acknowledged {
                assert_eq!(found, write.ids.len(), "an acknowledged write is lost: {:?}", write.ids);
                acknowledged += 1;
            } else {
                assert!(found == 0 || found == write.ids.len(), "half a write: {found} of {:?}", write.ids);
            }
        }
    }
    assert!(stored.is_empty(), "records that nobody wrote: {:?}", stored.keys());
    acknowledged
}
