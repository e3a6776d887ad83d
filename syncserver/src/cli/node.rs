//! `syncserver node`.

use clap::ArgAction;
use serde::Serialize;
use tokenserver_db_common::nodes::allocate;
use tokenserver_db_common::{NodeChange, NodeChanged, NodeName, NodeRow, PUBLIC_URL_NODE_ID, same_url};

use super::confirm::confirm;
use super::format::clean;
use super::operator::{Operator, failed};
use super::output::{Table, print, print_json, tell};
use crate::settings::{BaseUrl, LONGEST_NODE, Settings};

/// The most that a column of `nodes` holds.
const MOST: i64 = i32::MAX as i64;

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the nodes, with their places and the users that they have.
    List {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a node, so that new users are sent there.
    Add {
        /// Where clients reach it, as its own public_url says.
        url: String,
        /// How many users it has room for.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MOST))]
        capacity: u32,
    },
    /// Change what is said of a node.
    Set(Set),
    /// Send no new users to a node, and with --move, those that it has elsewhere.
    Drain(Drain),
}

/// A change of a node.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Set {
    /// Its URL or its id.
    node: String,
    /// How many users it has room for.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    capacity: Option<u32>,
    /// How many more users it takes before capacity is released.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=MOST))]
    available: Option<u32>,
    /// Whether it is out of order: it gets no new users, and is not asked to delete old storage.
    #[arg(long, action = ArgAction::Set)]
    downed: Option<bool>,
    /// Whether it is to get no new users.
    #[arg(long, action = ArgAction::Set)]
    backoff: Option<bool>,
    /// Where clients reach it from now on: the same storage at another URL.
    #[arg(long, value_name = "NEW_URL")]
    url: Option<String>,
}

/// How to drain a node.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Drain {
    /// Its URL or its id.
    node: String,
    /// Have its users get a place on another node at their next sign-in. No data is moved: their devices upload anew.
    #[arg(long = "move")]
    moves: bool,
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(settings: &Settings, command: Command) -> Result<(), String> {
    let operator = Operator::attach(settings).await?;
    match command {
        Command::List { json } => list(&operator, json).await,
        Command::Add { url, capacity } => add(&operator, &url, capacity).await,
        Command::Set(arguments) => set(&operator, arguments).await,
        Command::Drain(arguments) => drain(&operator, arguments).await,
    }
}

/// A node, as JSON has it.
#[derive(Serialize)]
struct Line {
    /// 0: the URL of this server itself, for users who came while there was no node.
    id: i64,
    url: String,
    /// Rows in use that name it.
    users: u64,
    #[serde(flatten)]
    places: Option<Places>,
}

#[derive(Serialize)]
struct Places {
    capacity: i64,
    current_load: i64,
    available: i64,
    downed: bool,
    backoff: bool,
}

async fn list(operator: &Operator<'_>, json: bool) -> Result<(), String> {
    let nodes = operator.databases.tokens.nodes().await.map_err(failed)?;
    let users = operator.databases.admin.users_of_nodes().await.map_err(failed)?;
    let users_of = |id: i64| users.iter().find(|(node, _)| *node == id).map_or(0, |(_, users)| *users);
    let mut lines: Vec<Line> = nodes
        .iter()
        .map(|node| Line {
            id: node.id,
            url: node.url.clone(),
            users: users_of(node.id),
            places: Some(Places {
                capacity: node.capacity,
                current_load: node.current_load,
                available: node.available,
                downed: node.downed,
                backoff: node.backoff,
            }),
        })
        .collect();
    // Without nodes all users are there, whatever their rows say.
    let there =
        if nodes.is_empty() { users.iter().map(|(_, users)| users).sum() } else { users_of(PUBLIC_URL_NODE_ID) };
    if nodes.is_empty() || there > 0 {
        lines.insert(0, Line { id: PUBLIC_URL_NODE_ID, url: operator.public_url.clone(), users: there, places: None });
    }
    if json {
        return print_json(&lines);
    }
    let mut table = Table::new(&["ID", "URL", "USERS", "GIVEN", "AVAILABLE", "CAPACITY", "STATE"]);
    for line in &lines {
        let number = |of: fn(&Places) -> i64| line.places.as_ref().map_or_else(String::new, |all| of(all).to_string());
        let state = match &line.places {
            None => "this server: users from before there were nodes",
            Some(Places { downed: true, .. }) => "down",
            Some(Places { backoff: true, .. }) => "no new users",
            Some(_) => "",
        };
        table.row([
            line.id.to_string(),
            clean(&line.url),
            line.users.to_string(),
            number(|all| all.current_load),
            number(|all| all.available),
            number(|all| all.capacity),
            state.to_owned(),
        ]);
    }
    if nodes.is_empty() {
        return print(&format!("There are no nodes: every user ({there}) is on {}.\n", operator.public_url));
    }
    let lost: u64 = users
        .iter()
        .filter(|(id, _)| *id != PUBLIC_URL_NODE_ID && nodes.iter().all(|node| node.id != *id))
        .map(|(_, users)| users)
        .sum();
    let mut text = table.to_text();
    if lost > 0 {
        text.push_str(&format!("\n{lost} users are on nodes that are gone; each gets a place at the next sign-in.\n"));
    }
    print(&text)
}

/// A URL as the table has it.
fn node_url(text: &str) -> Result<String, String> {
    let url: BaseUrl = text.parse().map_err(|error| format!("the URL of a node {error}, found {text:?}"))?;
    let url = url.to_string();
    match url.len() {
        0..=LONGEST_NODE => Ok(url),
        length => Err(format!("the URL of a node has at most {LONGEST_NODE} characters, found one of {length}")),
    }
}

async fn add(operator: &Operator<'_>, url: &str, capacity: u32) -> Result<(), String> {
    let url = node_url(url)?;
    let is_first = operator.databases.tokens.nodes().await.map_err(failed)?.is_empty();
    if !operator.databases.tokens.init_node(&url, capacity).await.map_err(failed)? {
        return Err(format!("there is a node {url} already; `syncserver node set` changes it"));
    }
    print(&format!("Added {url} with room for {capacity} users.\n"))?;
    if is_first && url != operator.public_url {
        tell(format_args!(
            "It is the first one: new users are sent to nodes only from now on. Those who are there already stay on {}, \
             which needs a node of its own if it is to get new users",
            operator.public_url
        ));
    }
    Ok(())
}

/// The node that an operator means.
async fn find(operator: &Operator<'_>, text: &str) -> Result<NodeRow, String> {
    let nodes = operator.databases.tokens.nodes().await.map_err(failed)?;
    let normal = node_url(text).ok();
    let is_meant = |node: &&NodeRow| match text.parse::<i64>() {
        Ok(id) => node.id == id,
        Err(_) => same_url(&node.url, text) || normal.as_deref().is_some_and(|normal| same_url(&node.url, normal)),
    };
    nodes
        .iter()
        .find(is_meant)
        .cloned()
        .ok_or_else(|| format!("there is no node {text:?}; `syncserver node list` has them all"))
}

async fn set(operator: &Operator<'_>, arguments: Set) -> Result<(), String> {
    let Set { node, capacity, available, downed, backoff, url } = arguments;
    let node = find(operator, &node).await?;
    let url = url.as_deref().map(node_url).transpose()?;
    let change = NodeChange { url, capacity, available, downed, backoff };
    if change.is_empty() {
        return Err("there is nothing to change; `syncserver node set --help` says what can be".to_owned());
    }
    apply(operator, &node, &change).await?;
    print(&format!("Changed the node {}.\n", clean(change.url.as_deref().unwrap_or(&node.url))))
}

async fn apply(operator: &Operator<'_>, node: &NodeRow, change: &NodeChange) -> Result<(), String> {
    match operator.databases.admin.set_node(&NodeName::Id(node.id), change).await.map_err(failed)? {
        NodeChanged::Done => Ok(()),
        NodeChanged::NoNode => Err(format!("the node {} has been removed meanwhile", clean(&node.url))),
        NodeChanged::UrlTaken => {
            Err(format!("another node has the URL {}", change.url.as_deref().map(clean).unwrap_or_default()))
        }
    }
}

async fn drain(operator: &Operator<'_>, Drain { node, moves, yes }: Drain) -> Result<(), String> {
    let node = find(operator, &node).await?;
    let name = clean(&node.url);
    let mut others = operator.databases.tokens.nodes().await.map_err(failed)?;
    others.retain(|other| other.id != node.id);
    let has_room = allocate(&others, operator.settings.tokenserver.node_capacity_release_rate).is_some();
    if !moves {
        stop_new_users(operator, &node).await?;
        print(&format!(
            "{name} gets no new users. `syncserver node set {} --backoff false` takes that back.\n",
            node.id
        ))?;
        if !has_room {
            tell("No other node has room: nobody can become a user until one has (`syncserver node add`)");
        }
        return Ok(());
    }
    if !has_room {
        return Err(format!("no other node has room for the users of {name}; add one first (`syncserver node add`)"));
    }
    let users = operator.databases.admin.users_of_nodes().await.map_err(failed)?;
    let users = users.iter().find(|(id, _)| *id == node.id).map_or(0, |(_, users)| *users);
    let what = format!(
        "This sends {users} users away from {name}. No data is moved: each gets new, empty storage on another node at the \
         next sign-in, where its devices upload what they have. What a user left behind is deleted once the user has come \
         back, and not before."
    );
    confirm(&what, &node.id.to_string(), yes)?;
    stop_new_users(operator, &node).await?;
    let moved = operator.databases.admin.replace_users_of_node(node.id, operator.clock.now_ms()).await;
    let moved = moved.map_err(failed)?;
    let minutes = operator.settings.tokenserver.token_duration.as_secs().div_ceil(60);
    print(&format!(
        "{name} gets no new users, and {moved} go elsewhere when their tokens end, within {minutes} minutes of use.\n"
    ))
}

async fn stop_new_users(operator: &Operator<'_>, node: &NodeRow) -> Result<(), String> {
    apply(operator, node, &NodeChange { backoff: Some(true), ..NodeChange::default() }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_node_is_written_as_the_table_has_it() {
        for (text, url) in [
            ("https://sync2.example.com", "https://sync2.example.com"),
            ("HTTPS://Sync2.example.com:443/", "https://sync2.example.com"),
            ("http://127.0.0.1:8001/sync/", "http://127.0.0.1:8001/sync"),
        ] {
            assert_eq!(node_url(text).as_deref(), Ok(url));
        }
        for (text, wrong) in [
            ("sync2.example.com", "must begin with http:// or https://"),
            ("https://u:p@sync2.example.com", "must not hold a user name"),
            (&format!("https://{}.example.com", "a".repeat(60)), "at most 64 characters"),
        ] {
            assert!(node_url(text).is_err_and(|error| error.contains(wrong)), "{text}");
        }
    }
}
