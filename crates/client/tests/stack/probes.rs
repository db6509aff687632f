//! A peer that complains of being probed too often.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tracing_subscriber::fmt::MakeWriter;

use crate::answers::created;
use crate::clock::leap;
use crate::raw::{ENHANCE_YOUR_CALM, NO_ERROR, Raw};
use crate::settings::users;
use crate::shop::until;

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Whether a call that is answered after a leap of `leaps` was probed meanwhile, on a connection after one
/// that has ended with a GOAWAY of this code.
async fn is_probed(peer: &'static str, code: u32, leaps: Duration) -> bool {
    let (may_answer, begun, pings) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)), Arc::default());
    let (answers, calls, probes) = (Arc::clone(&may_answer), Arc::clone(&begun), Arc::<AtomicUsize>::clone(&pings));
    let server = Raw::play(move |connection, mut talk| {
        let (may_answer, begun, pings) = (Arc::clone(&answers), Arc::clone(&calls), Arc::clone(&probes));
        async move {
            talk.begin(None).await?;
            let stream = talk.call().await?;
            if connection == 0 {
                talk.go_away(stream, code, "too_many_pings").await?;
                talk.answer(stream, &[b""]).await?;
                return talk.listen().await;
            }
            begun.fetch_add(1, Ordering::SeqCst);
            tokio::select! {
                _ = talk.listen() => {}
                () = may_answer.notified() => {}
            }
            pings.store(talk.pings, Ordering::SeqCst);
            talk.answer(stream, &[b""]).await?;
            talk.listen().await
        }
    })
    .await;
    let settings = [("KEEPALIVE_INTERVAL", "10s"), ("KEEPALIVE_TIMEOUT", "1h")];
    let users = users(peer, &[server.address], &settings);
    created(users.clone()).await.unwrap();
    until("it is connected again", || server.accepted() == 2).await;
    let call = tokio::spawn(created(users));
    until("the second call is there", || begun.load(Ordering::SeqCst) == 1).await;
    leap(leaps).await;
    // For what was sent to arrive. A probe that comes later than that is not seen, so the tests below also
    // show one that is.
    tokio::time::sleep(Duration::from_millis(100)).await;
    may_answer.notify_one();
    call.await.unwrap().unwrap();
    pings.load(Ordering::SeqCst) > 0
}

#[tokio::test]
async fn the_time_between_probes_doubles_and_that_is_logged_once() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    assert!(is_probed("probed-usually", NO_ERROR, Duration::from_secs(15)).await);
    assert_eq!(complaints(&log), [] as [String; 0]);
    assert!(!is_probed("probed-less", ENHANCE_YOUR_CALM, Duration::from_secs(15)).await);
    let said = complaints(&log);
    assert!(said.len() == 1 && said[0].contains("keepalive_interval=20s"), "{said:?}");
    assert!(is_probed("probed-still", ENHANCE_YOUR_CALM, Duration::from_secs(25)).await);
}

fn complaints(log: &Log) -> Vec<String> {
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().filter(|line| line.contains("probed too often")).map(str::to_owned).collect()
}
