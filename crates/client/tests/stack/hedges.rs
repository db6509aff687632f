//! Calls that are made a second time while the first takes long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tonic::Code;

use crate::shop::{Shop, get, policies, serve, until, users};

const HEDGED: &str = r#"
["seawall.user.v1.UserService/GetUser"]
hedge.attempts_max = 2
hedge.kind = "fixed"
hedge.fixed_delay = "20ms"
"#;

/// Counts calls that are dropped before their end.
struct Call {
    has_ended: bool,
    cancelled: Arc<AtomicUsize>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.cancelled.fetch_add(usize::from(!self.has_ended), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_hedge_answers_for_an_endpoint_that_is_slow_and_the_slow_call_is_cancelled() {
    let cancelled = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shop = |name: &'static str| {
        let (cancelled, seen) = (Arc::clone(&cancelled), Arc::clone(&seen));
        Shop::new(move |call| {
            seen.lock().unwrap().push((name, call.attempts()));
            let cancelled = Arc::clone(&cancelled);
            async move {
                let mut ticket = Call { has_ended: false, cancelled };
                // Whichever endpoint has the first attempt never answers it.
                if call.attempts() == 0 {
                    std::future::pending::<()>().await;
                }
                ticket.has_ended = true;
                Ok(name.to_owned())
            }
        })
    };
    let (one, two) = (serve(shop("one")).await, serve(shop("two")).await);
    let users = users("hedged", &[one.address, two.address], &policies(HEDGED));
    let answer = get(users).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    let [(slow, 0), (fast, 1)] = seen[..] else { panic!("a first attempt and one hedge: {seen:?}") };
    assert_ne!(slow, fast, "the hedge goes elsewhere");
    assert_eq!(answer, fast);
    until("the call that lost is cancelled at its server", || cancelled.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_method_that_is_not_idempotent_is_not_hedged() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let server = serve(Shop::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async {
            // Ten times as long as a hedge would wait.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            Ok("slow".to_owned())
        }
    }))
    .await;
    let text = "hedge.attempts_max = 2\nhedge.kind = \"fixed\"\nhedge.fixed_delay = \"20ms\"";
    let users = users("unhedged", &[server.address], &policies(text));
    assert_eq!(crate::shop::create(users.clone()).await.unwrap(), "slow");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(get(users).await.unwrap(), "slow");
    assert_eq!(calls.load(Ordering::Relaxed), 3, "one that is idempotent is");
}

#[tokio::test]
async fn a_hedge_that_fails_leaves_the_call_to_the_other_attempt() {
    let server = serve(Shop::new(|call| async move {
        if call.attempts() > 0 {
            return Err(tonic::Status::new(Code::Unavailable, "the hedge fails"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        Ok("first".to_owned())
    }))
    .await;
    assert_eq!(get(users("hedge-failing", &[server.address], &policies(HEDGED))).await.unwrap(), "first");
}
