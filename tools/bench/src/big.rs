//! One answer with all of a large collection: does all of it come, and how much memory does the server take for it?

use crate::Result;
use crate::cli::Cli;
use crate::client::{Client, Target};
use crate::data::Payloads;
use crate::process::Process;
use crate::report::{Big, BigReader};
use crate::users::User;
use std::time::{Duration, Instant};
use testclient::{Connection, Request};

const PER_POST: u32 = 100;
const PREFIX: &str = "big-";
/// A slow reader takes so much, then rests.
const SLOW_PART: usize = 1 << 20;
const SLOW_REST: Duration = Duration::from_millis(5);
/// A slow reader's receive buffer: small, so that the server has to wait for it.
const SLOW_BUFFER: u32 = 64 * 1024;

/// Uploads the collection and reads it in both ways.
pub(crate) fn run(target: &Target, user: &User, process: Option<&Process>, cli: &Cli) -> Result<Big> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        upload(target, user, cli).await?;
        let upload_seconds = start.elapsed().as_secs_f64();
        let mut readers = Vec::new();
        for reader in ["fast", "slow"] {
            readers.push(read(reader, target, user, process, cli).await?);
        }
        Ok(Big { records: cli.big_records, payload_bytes: cli.big_payload, upload_seconds, readers })
    })
}

async fn upload(target: &Target, user: &User, cli: &Cli) -> Result<()> {
    let size = cli.big_payload as usize;
    let payloads = Payloads::up_to(size);
    let mut client = Client::connect(target).await?;
    let mut body = Vec::new();
    let mut first = 0;
    while first < cli.big_records {
        let last = (first + PER_POST).min(cli.big_records);
        payloads.write_records(PREFIX, first.into()..last.into(), &mut body, || size);
        let answer = client.send(user, "POST", "/storage/history", Some(&body)).await?;
        if answer.status != 200 {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
            return Err(format!("could not upload records from {first} on: {} {body}", answer.status).into());
        }
        first = last;
    }
    Ok(())
}

async fn read(
    reader: &'static str,
    target: &Target,
    user: &User,
    process: Option<&Process>,
    cli: &Cli,
) -> Result<BigReader> {
    let is_slow = reader == "slow";
    let mut connection = if is_slow {
        Connection::connect_with_buffer(target.addr, SLOW_BUFFER).await?
    } else {
        Connection::connect(target.addr).await?
    };
    connection.host.clone_from(&target.host);
    connection.port = target.port;

    let rss_before_kb = process.map(|process| process.rss_kb()).transpose()?;
    let is_peak_of_reader = process.is_some_and(|process| process.reset_peak());
    let start = Instant::now();
    let request = Request::get(format!("{}/storage/history?full=1", user.root)).auth(&user.token);
    let mut answer = connection.send_for_body(&request).await?;
    let mut ids = Ids::new(cli.big_records);
    let (mut bytes, mut since_rest) = (0_usize, 0);
    while let Some(part) = answer.next(SLOW_PART).await? {
        ids.feed(&part);
        bytes += part.len();
        since_rest += part.len();
        if is_slow && since_rest >= SLOW_PART {
            since_rest = 0;
            tokio::time::sleep(SLOW_REST).await;
        }
    }
    let fault = match (answer.status, answer.headers.get("x-weave-records")) {
        (200, Some(count)) if count == cli.big_records.to_string() => ids.fault(),
        (200, count) => Some(format!("X-Weave-Records is {count:?}")),
        (status, _) => Some(format!("the answer is {status}")),
    };
    Ok(BigReader {
        reader,
        seconds: start.elapsed().as_secs_f64(),
        megabytes: bytes as f64 / 1e6,
        rss_before_kb,
        peak_kb: process.map(|process| process.peak_kb()).transpose()?,
        is_peak_of_reader,
        fault,
    })
}

/// The ids in an answer that comes in parts and is too large to keep.
struct Ids {
    seen: Vec<u32>,
    unknown: u32,
    /// The end of what came, where an id may have begun.
    rest: Vec<u8>,
    last_byte: u8,
}

/// The quote before an id, and all but the digits of it.
const MARK: &[u8] = b"\"big-";
const DIGITS: usize = 8;

impl Ids {
    fn new(count: u32) -> Ids {
        Ids { seen: vec![0; count as usize], unknown: 0, rest: Vec::new(), last_byte: 0 }
    }

    fn feed(&mut self, part: &[u8]) {
        self.last_byte = part.last().copied().unwrap_or(self.last_byte);
        self.rest.extend_from_slice(part);
        let mut at = 0;
        // A payload holds no quote but escaped ones, and none of these is followed by the mark's letters and digits.
        while let Some(quote) = self.rest[at..].iter().position(|byte| *byte == b'"') {
            at += quote;
            let Some(id) = self.rest.get(at..at + MARK.len() + DIGITS + 1) else { break };
            if id.starts_with(MARK) && id.ends_with(b"\"") {
                let digits = std::str::from_utf8(&id[MARK.len()..MARK.len() + DIGITS]).ok();
                match digits.and_then(|text| text.parse().ok()).and_then(|n: usize| self.seen.get_mut(n)) {
                    Some(times) => *times += 1,
                    None => self.unknown += 1,
                }
            }
            at += 1;
        }
        // What remains from the last quote on may be the start of an id; without a quote nothing may.
        let keep = self.rest.len().saturating_sub(MARK.len() + DIGITS);
        self.rest.drain(..at.max(keep).min(self.rest.len()));
    }

    /// What is wrong with all that came.
    fn fault(&self) -> Option<String> {
        let missing = self.seen.iter().filter(|times| **times == 0).count();
        let repeated = self.seen.iter().filter(|times| **times > 1).count();
        if missing > 0 || repeated > 0 || self.unknown > 0 {
            return Some(format!("{missing} records missing, {repeated} came again, {} unknown", self.unknown));
        }
        (self.last_byte != b']').then(|| "the list does not end".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(numbers: &[u64]) -> Vec<u8> {
        let payloads = Payloads::up_to(300);
        let mut out = b"[".to_vec();
        for number in numbers {
            if out.len() > 1 {
                out.push(b',');
            }
            payloads.write_record(PREFIX, *number, 300, &mut out);
        }
        out.push(b']');
        out
    }

    fn fault(numbers: &[u64], part: usize) -> Option<String> {
        let mut ids = Ids::new(3);
        list(numbers).chunks(part).for_each(|part| ids.feed(part));
        assert!(ids.rest.len() < 20, "memory stays bounded");
        ids.fault()
    }

    #[test]
    fn ids_are_found_however_the_answer_is_cut() {
        for part in [1, 2, 3, 7, 13, 14, 100, 10_000] {
            assert_eq!(fault(&[2, 0, 1], part), None, "parts of {part}");
        }
    }

    #[test]
    fn missing_repeated_and_unknown_records_are_told() {
        assert_eq!(fault(&[0, 0, 1], 50).unwrap(), "1 records missing, 1 came again, 0 unknown");
        assert_eq!(fault(&[0, 1, 2, 3], 50).unwrap(), "0 records missing, 0 came again, 1 unknown");
        let mut ids = Ids::new(1);
        ids.feed(&list(&[0])[..40]);
        assert_eq!(ids.fault().unwrap(), "the list does not end");
    }
}
