//! A page at the start of a large collection and one far behind it: whatever is in front of a page must not make it slow.
//!
//! All records have one modified time, so that only their ids tell where a page begins.

use crate::Result;
use crate::cli::Cli;
use crate::client::{Client, Target};
use crate::data::{Payloads, USUAL_PAYLOAD};
use crate::report::{FIRST_PAGE, LATER_PAGE};
use crate::users::User;
use crate::worker::{Load, batch_id};
use testclient::{Connection, Request, Response};

const COLLECTION: &str = "/storage/bookmarks";
/// An offset goes with the query that it came from, but for the limit.
const QUERY: &str = "full=1&sort=newest";
const PER_PAGE: u32 = 100;
const PER_POST: u64 = 100;
/// How far a walk to the later page gets at once.
const STRIDE: u32 = 1000;

/// How many records there have to be: some behind the later page, too.
pub(crate) fn records(cli: &Cli) -> u64 {
    u64::from(cli.depth) + 1000
}

/// Uploads the collection and finds the pages; what to call each of them and what to ask for.
pub(crate) fn prepare(target: &Target, user: &User, cli: &Cli) -> Result<[(&'static str, Load); 2]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = Connection::connect(target.addr).await?;
        connection.host.clone_from(&target.host);
        connection.port = target.port;
        let limits = ask(&mut connection, user, "/info/configuration").await?.json();
        let per_batch = limits["max_total_records"].as_u64().unwrap_or(1).max(PER_POST);
        upload(target, user, records(cli), per_batch).await?;
        let later = walk(&mut connection, user, cli.depth).await?;
        let page = |path| Load::Page { path, records: PER_PAGE.into() };
        Ok([(FIRST_PAGE, page(path(PER_PAGE, None))), (LATER_PAGE, page(path(PER_PAGE, Some(&later))))])
    })
}

/// In one batch, if the server takes one so large.
async fn upload(target: &Target, user: &User, count: u64, per_batch: u64) -> Result<()> {
    let payloads = Payloads::up_to(USUAL_PAYLOAD);
    let mut client = Client::connect(target).await?;
    let mut body = Vec::new();
    for start in (0..count).step_by(usize::try_from(per_batch)?) {
        let end = (start + per_batch).min(count);
        let mut batch = "true".to_owned();
        for first in (start..end).step_by(usize::try_from(PER_POST)?) {
            let last = (first + PER_POST).min(end);
            payloads.write_records("pag-", first..last, &mut body, || USUAL_PAYLOAD);
            let commit = if last == end { "&commit=true" } else { "" };
            let answer = client.send(user, "POST", &format!("{COLLECTION}?batch={batch}{commit}"), Some(&body)).await?;
            if !(200..300).contains(&answer.status) {
                let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]);
                return Err(format!("could not upload records from {first} on: {} {body}", answer.status).into());
            }
            if first == start && last < end {
                batch = batch_id(answer.body).ok_or("the answer to batch=true has no batch id")?;
            }
        }
    }
    Ok(())
}

/// Goes through the pages to so many records, and gives the offset of the next.
async fn walk(connection: &mut Connection, user: &User, depth: u32) -> Result<String> {
    let mut offset: Option<String> = None;
    let mut passed = 0;
    while passed < depth {
        let limit = STRIDE.min(depth - passed);
        offset = Some(page(connection, user, limit, offset.as_deref()).await?);
        passed += limit;
    }
    let offset = offset.ok_or("there is no depth to go to")?;
    // What is measured is a full page.
    page(connection, user, PER_PAGE, Some(&offset)).await?;
    Ok(offset)
}

/// Reads a page that has another one behind it; where that begins.
async fn page(connection: &mut Connection, user: &User, limit: u32, offset: Option<&str>) -> Result<String> {
    let answer = ask(connection, user, &path(limit, offset)).await?;
    let count = answer.header("x-weave-records").unwrap_or("no");
    if count != limit.to_string() {
        return Err(format!("a page that should have {limit} records has {count}").into());
    }
    let next = answer.header("x-weave-next-offset").ok_or("a page in the middle has no next offset")?;
    Ok(next.to_owned())
}

async fn ask(connection: &mut Connection, user: &User, path: &str) -> Result<Response> {
    let request = Request::get(format!("{}{path}", user.root)).auth(&user.token);
    let answer = connection.send(&request).await?;
    if answer.status == 200 { Ok(answer) } else { Err(format!("GET {path}: {answer:?}").into()) }
}

fn path(limit: u32, offset: Option<&str>) -> String {
    let offset = offset.map(|offset| format!("&offset={offset}")).unwrap_or_default();
    format!("{COLLECTION}?{QUERY}&limit={limit}{offset}")
}
