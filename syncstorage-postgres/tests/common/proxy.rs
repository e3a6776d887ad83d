//! A proxy between a program and its database that counts how often the two take turns.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Bytes pass unchanged. What the program sends after it was answered begins a new round trip; what it sends before
/// that belongs to the one that is under way.
pub(crate) struct Proxy {
    address: SocketAddr,
    turns: Arc<AtomicU64>,
}

impl Proxy {
    /// Listens for connections to the server at `upstream`, until the process ends.
    pub(crate) fn start(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let turns = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&turns);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let answered = Arc::new(AtomicBool::new(true));
                let (turns, is_answered) = (Arc::clone(&counted), Arc::clone(&answered));
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    pass(ends.0, ends.1, || {
                        if is_answered.swap(false, Ordering::SeqCst) {
                            turns.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                });
                thread::spawn(move || pass(server, client, || answered.store(true, Ordering::SeqCst)));
            }
        });
        Self { address, turns }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Round trips until now, of all connections.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, seen: impl Fn()) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        seen();
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
