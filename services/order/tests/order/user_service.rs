//! What PlaceOrder makes of the user service: its answers, its troubles, its deadline.

use std::sync::Arc;
use std::time::Duration;

use seawall_proto::seawall::order::v1::ListOrdersRequest;
use seawall_testkit::Refusal;
use tokio::sync::Semaphore;
use tonic::{Code, Request};

use crate::harness::{ANN, on_each_engine, place, refusal, request, user_not_found};
use crate::users::Mood;

#[tokio::test]
async fn an_unknown_user_has_no_order_and_the_key_stays_free() {
    on_each_engine(async |stack| {
        stack.users.set(Mood::Failing(Code::NotFound));
        assert_eq!(refusal(place(&stack.client, request(ANN, "k1")).await), user_not_found(ANN));
        let list = ListOrdersRequest { user_id: ANN.into(), ..Default::default() };
        assert!(stack.client.clone().list_orders(list).await.unwrap().into_inner().orders.is_empty());

        stack.users.set(Mood::Everybody);
        place(&stack.client, request(ANN, "k1")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_user_service_that_is_away_is_said_to_be_so() {
    on_each_engine(async |stack| {
        let answer = place(&stack.without_users().await, request(ANN, "k1")).await;
        let status = answer.clone().unwrap_err();
        assert_eq!(status.message(), "the user service cannot be reached");
        assert_eq!(refusal(answer), Refusal::new(Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    })
    .await;
}

#[tokio::test]
async fn only_what_a_caller_can_act_on_is_passed_on() {
    on_each_engine(async |stack| {
        let cases = [
            (Code::Unavailable, Code::Unavailable, "DEPENDENCY_UNAVAILABLE"),
            (Code::ResourceExhausted, Code::ResourceExhausted, "DEPENDENCY_EXHAUSTED"),
            (Code::DeadlineExceeded, Code::DeadlineExceeded, "DEPENDENCY_DEADLINE_EXCEEDED"),
            (Code::InvalidArgument, Code::Internal, "INTERNAL"),
            (Code::PermissionDenied, Code::Internal, "INTERNAL"),
            (Code::Internal, Code::Internal, "INTERNAL"),
        ];
        for (code, expected, reason) in cases {
            // So many that no breaker has a reason to keep the next call from the user service.
            stack.users.set(Mood::Everybody);
            for n in 0..5 {
                place(&stack.client, request(ANN, &format!("{code:?}-{n}"))).await.unwrap();
            }
            stack.users.set(Mood::Failing(code));
            assert_eq!(
                refusal(place(&stack.client, request(ANN, "k1")).await),
                Refusal::new(expected, reason),
                "{code}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_user_service_is_told_what_is_left_of_the_deadline() {
    on_each_engine(async |stack| {
        let mut request = Request::new(request(ANN, "k1"));
        request.set_timeout(Duration::from_secs(7));
        stack.client.clone().place_order(request).await.unwrap();
        let [Some(timeout)] = stack.users.timeouts()[..] else { panic!("{:?}", stack.users.timeouts()) };
        assert!(timeout > Duration::ZERO && timeout < Duration::from_secs(7), "{timeout:?}");
    })
    .await;
}

#[tokio::test]
async fn a_silent_user_service_is_given_up_at_the_deadline() {
    on_each_engine(async |stack| {
        let given_up = Arc::new(Semaphore::new(0));
        stack.users.set(Mood::Silent(given_up.clone()));
        let mut late = Request::new(request(ANN, "k1"));
        late.set_timeout(Duration::from_millis(200));
        let refused = stack.client.clone().place_order(late).await.unwrap_err();
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        drop(given_up.acquire().await.unwrap());

        stack.users.set(Mood::Everybody);
        place(&stack.client, request(ANN, "k1")).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_cancelled_call_gives_up_its_call_to_the_user_service() {
    on_each_engine(async |stack| {
        let given_up = Arc::new(Semaphore::new(0));
        stack.users.set(Mood::Silent(given_up.clone()));
        let client = stack.client.clone();
        let call = tokio::spawn(async move { place(&client, request(ANN, "k1")).await });
        while stack.users.timeouts().is_empty() {
            tokio::task::yield_now().await;
        }
        call.abort();
        tokio::time::timeout(Duration::from_secs(10), given_up.acquire()).await.unwrap().unwrap().forget();
    })
    .await;
}
