//! A gate in front of a server: lets connections through to it, or closes them at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Accepts for as long as it lives.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    is_open: watch::Sender<bool>,
    accepted: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// One that is open.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_open, states) = watch::channel(true);
        let accepted = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let (count, count_ended) = (Arc::clone(&accepted), Arc::clone(&ended));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let (passing, ended) = (pass(stream, server, states.clone()), Arc::clone(&count_ended));
                tokio::spawn(async move {
                    passing.await;
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, is_open, accepted, ended, task }
    }

    /// Ends all connections, and those to come as soon as they are accepted.
    pub(crate) fn close(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }

    /// How many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// How many of them have ended.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

async fn pass(mut stream: TcpStream, server: SocketAddr, mut states: watch::Receiver<bool>) {
    if !*states.borrow_and_update() {
        return;
    }
    let Ok(mut through) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut stream, &mut through) => {}
        _ = states.wait_for(|is_open| !is_open) => {}
    }
}
