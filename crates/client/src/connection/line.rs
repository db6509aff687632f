//! One connection of an endpoint, and the calls on it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::choice::Standing;
use super::heard::Heard;
use super::http2::Sender;

/// How a connection is; `connection.rs` says what a call does in each.
#[derive(Debug, Clone)]
pub(super) enum State {
    Idle,
    Connecting,
    Ready(Line),
    Lost,
    Failed(Arc<io::Error>),
}

impl State {
    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Idle => Standing::Idle,
            Self::Connecting => Standing::Connecting,
            // Its task has not noticed yet.
            Self::Ready(line) if line.sender.is_closed() => Standing::Lost,
            Self::Ready(line) => Standing::Ready { has_room: line.usage.has_room() },
            Self::Lost => Standing::Lost,
            Self::Failed(_) => Standing::Failed,
        }
    }
}

/// A connection that calls go by.
#[derive(Debug, Clone)]
pub(super) struct Line {
    sender: Sender,
    usage: Arc<Usage>,
}

impl Line {
    pub(super) fn new(sender: Sender, usage: Arc<Usage>) -> Self {
        Self { sender, usage }
    }

    /// A place for a call, if there is one.
    pub(super) fn place(&self) -> Option<(Sender, Place)> {
        let has_entered = self.usage.enter();
        has_entered.then(|| (self.sender.clone(), Place(Arc::clone(&self.usage))))
    }
}

/// What a connection is used for.
#[derive(Debug)]
pub(super) struct Usage {
    in_flight: AtomicUsize,
    is_called: AtomicBool,
    is_answered: AtomicBool,
    heard: Arc<Heard>,
    room: Arc<Notify>,
}

impl Usage {
    /// That of a new connection. `room` is told when a call ends.
    pub(super) fn new(heard: Arc<Heard>, room: Arc<Notify>) -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            is_called: AtomicBool::new(false),
            is_answered: AtomicBool::new(false),
            heard,
            room,
        }
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) < self.heard.streams_max()
    }

    fn enter(&self) -> bool {
        let max = self.heard.streams_max();
        let more = |calls: usize| (calls < max).then(|| calls + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == 0
    }

    /// Whether there were calls since this was last asked.
    pub(super) fn was_called(&self) -> bool {
        self.is_called.swap(false, Ordering::Relaxed)
    }

    /// Whether one was ever answered.
    pub(super) fn is_answered(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
    }
}

/// The place of a call on a connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Usage>);

impl Place {
    pub(super) fn called(&self) {
        self.0.is_called.store(true, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) {
        self.0.is_answered.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Sequentially consistent, as `Notify` is: whoever waits has either seen this or is told.
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.0.room.notify_one();
    }
}
