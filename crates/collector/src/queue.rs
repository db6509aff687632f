//! A queue bounded twice, by items and by bytes: batches of telemetry differ in size by a factor of
//! a million, so that a bound on their number alone says little about memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes are counted in steps of this size, so that a `u32` of permits covers any sensible bound.
const STEP_BYTES: usize = 1024;

/// Where items are put in.
#[derive(Debug)]
pub(crate) struct Sender<T> {
    items: mpsc::Sender<Queued<T>>,
    steps: Arc<Semaphore>,
}

/// An item, and its share of the bytes until it is dropped.
#[derive(Debug)]
pub(crate) struct Queued<T> {
    pub(crate) item: T,
    _share: Option<OwnedSemaphorePermit>,
}

/// There is no room, or nobody receives any more.
#[derive(Debug)]
pub(crate) struct Full;

pub(crate) fn queue<T>(items_max: usize, bytes_max: usize) -> (Sender<T>, mpsc::Receiver<Queued<T>>) {
    let (items, receiver) = mpsc::channel(items_max);
    (Sender { items, steps: Arc::new(Semaphore::new(bytes_max / STEP_BYTES)) }, receiver)
}

impl<T> Sender<T> {
    /// Puts in an item of about `bytes`, if there is room right now.
    pub(crate) fn try_send(&self, item: T, bytes: usize) -> Result<(), Full> {
        let steps = u32::try_from(bytes / STEP_BYTES + 1).map_err(|_| Full)?;
        let share = Arc::clone(&self.steps).try_acquire_many_owned(steps).map_err(|_| Full)?;
        self.items.try_send(Queued { item, _share: Some(share) }).map_err(|_| Full)
    }

    /// Waits for a place for an item that takes no memory worth counting. Cancel-safe: an item that
    /// was not put in is dropped.
    pub(crate) async fn send(&self, item: T) -> Result<(), Full> {
        self.items.send(Queued { item, _share: None }).await.map_err(|_| Full)
    }
}
