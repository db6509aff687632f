//! Time that passes at once, for policies that count in seconds.

use std::time::Duration;

/// Everything in this runtime is that much later. What had a timer until then is told so; sockets
/// are as they were. Only for tests whose runtime has one thread, and at a moment without calls.
pub(crate) async fn leap(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}
