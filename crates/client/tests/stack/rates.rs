//! Rate limits, and clients that obey them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::shop::{Answer, Shop, create, get, policies, serve_with, users};

/// One call at a time, and the next two seconds later: longer than two calls sent together take.
const LIMITED: &str = "rate.per_second = 0.5\nrate.burst = 1\n";

fn pushback_ms(status: &Status) -> i64 {
    status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap()
}

/// A server that notes the attempts that it has served.
async fn limited(text: &str) -> (crate::shop::Running, Arc<Mutex<Vec<u32>>>) {
    let served = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&served);
    let shop = Shop::new(move |call| {
        noted.lock().unwrap().push(call.attempts());
        async { Ok("served".to_owned()) }
    });
    (serve_with(shop, &policies(text), None).await, served)
}

#[tokio::test]
async fn a_call_above_the_rate_is_told_when_to_come_back() {
    let (server, served) = limited(LIMITED).await;
    let users = users("rate-told", &[server.address], &policies(""));
    create(users.clone()).await.unwrap();
    let status = create(users.clone()).await.unwrap_err();
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
    let after = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(after > Duration::ZERO && after <= Duration::from_secs(2), "{after:?}");
    let pushback = pushback_ms(&status);
    assert!(pushback > 0 && pushback.abs_diff(after.as_millis() as i64) <= 1, "{pushback} ms and {after:?}");
    assert_eq!(*served.lock().unwrap(), [0]);
}

#[tokio::test]
async fn a_client_that_comes_back_when_it_is_told_gets_through_on_its_second_attempt() {
    let (server, served) = limited("rate.per_second = 2\nrate.burst = 1\n").await;
    let users = users("rate-obeyed", &[server.address], &policies(""));
    // Connected before, so that all three are sent together.
    create(users.clone()).await.unwrap();
    served.lock().unwrap().clear();
    let answers: [Answer; 3] = tokio::join!(get(users.clone()), get(users.clone()), get(users.clone())).into();
    for answer in answers {
        assert_eq!(answer.unwrap(), "served");
    }
    // Each of them was promised a place of its own, and nobody has come in vain a second time.
    assert_eq!(*served.lock().unwrap(), [0, 1, 1]);
}

#[tokio::test]
async fn a_call_that_could_not_come_back_in_time_is_told_not_to() {
    let (server, served) = limited(LIMITED).await;
    let mut users = users("rate-in-vain", &[server.address], &policies(""));
    create(users.clone()).await.unwrap();
    let mut request = tonic::Request::new(seawall_proto::seawall::user::v1::CreateUserRequest::default());
    request.set_timeout(Duration::from_millis(1_000));
    let status = users.create_user(request).await.unwrap_err();
    assert_eq!((status.code(), pushback_ms(&status)), (Code::ResourceExhausted, -1));
    let after = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(after > Duration::from_millis(900), "when there is a place all the same: {after:?}");
    assert_eq!(*served.lock().unwrap(), [0]);
}
