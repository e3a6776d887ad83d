//! A proxy between a program and its database that counts how often the two take turns.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::Database;

/// Stands before a database's server. Bytes pass unchanged. What the program sends after it was answered begins a new
/// round trip; what it sends before that belongs to the one that is under way.
pub struct RoundTrips {
    url: String,
    turns: Arc<AtomicU64>,
}

impl RoundTrips {
    /// Listens for connections to the server of this database, until the process ends.
    pub fn before(database: &Database) -> RoundTrips {
        let url = database.url();
        let (access, place) = url.rsplit_once('@').expect("a URL with a user");
        let (server, rest) = place.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the address of a listener");
        let (server, turns) = (server.to_owned(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&turns);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a client");
                serve(&client, &server, &counted).expect("a connection to the server");
            }
        });
        RoundTrips { url: format!("{access}@{address}/{rest}"), turns }
    }

    /// The URL of the database by way of this proxy.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many there were until now, of all connections.
    pub fn count(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

fn serve(client: &TcpStream, server: &str, turns: &Arc<AtomicU64>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let answered = Arc::new(AtomicBool::new(true));
    let (asking, answering) = (Arc::clone(&answered), answered);
    let turns = Arc::clone(turns);
    pass(client, &server, move || {
        if asking.swap(false, Ordering::SeqCst) {
            turns.fetch_add(1, Ordering::SeqCst);
        }
    })?;
    pass(&server, client, move || answering.store(true, Ordering::SeqCst))
}

/// Passes on what comes from one side, on a thread of its own, and tells so before.
fn pass(from: &TcpStream, to: &TcpStream, mut tell: impl FnMut() + Send + 'static) -> io::Result<()> {
    let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        // An error is an end as well.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            tell();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other end may be gone already.
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
    Ok(())
}
