//! Where hyper has its futures run.

use std::future::Future;

use hyper::rt::Executor;

/// Tasks of tokio. In boxes: hyper has one type for all of its futures, so that the one which waits for an answer is
/// as large as one that drives a connection, and tokio moves what it spawns about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::spawn(Box::pin(future)));
    }
}
