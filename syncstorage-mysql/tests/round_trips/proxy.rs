//! Stands between a client and its server, and counts how often the client asks and waits.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A server of its own address that passes everything on.
pub(crate) struct Proxy {
    address: SocketAddr,
    turns: Arc<AtomicU64>,
}

impl Proxy {
    /// Stands before the server at `host:port`. Its threads end with the connections.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (server, turns) = (server.to_owned(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&turns);
        thread::spawn(move || {
            for client in listener.incoming() {
                serve(&client.unwrap(), &server, &counted);
            }
        });
        Self { address, turns }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often a client has sent something after it had received something: the round trips so far.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }
}

fn serve(client: &TcpStream, server: &str, turns: &Arc<AtomicU64>) {
    let server = TcpStream::connect(server).unwrap();
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let answered = Arc::new(AtomicBool::new(true));
    let (asking, answering) = (Arc::clone(&answered), answered);
    let turns = Arc::clone(turns);
    pass(client, &server, move || {
        if asking.swap(false, Ordering::SeqCst) {
            turns.fetch_add(1, Ordering::SeqCst);
        }
    });
    pass(&server, client, move || answering.store(true, Ordering::SeqCst));
}

/// Passes on what comes from one side, and tells so before.
fn pass(from: &TcpStream, to: &TcpStream, mut tell: impl FnMut() + Send + 'static) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        // An error is an end as well.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            tell();
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
