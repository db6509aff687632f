//! Streams in all directions, through the whole stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use seawall_client::Channel;
use seawall_proto::seawall::order::v1::order_service_client::OrderServiceClient;
use seawall_proto::seawall::order::v1::{WatchOrderRequest, WatchOrderResponse};
use seawall_proto::seawall::user::v1::ImportUsersRequest;
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_types::StatusExt as _;

use crate::page::state;
use crate::shop::{Shop, channel, policies, serve, until, users, watched};

const WATCH_ORDER: &str = "seawall.order.v1.OrderService/WatchOrder";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Opens after two failures, and so has to hear of each of them.
const TOUCHY: &str = "breaker.kind = \"three_state\"\nbreaker.consecutive_failures = 2\n";

/// The ids that a stream has, and what it ends with.
async fn collected(mut orders: OrderServiceClient<Channel>) -> (Vec<String>, Option<Status>) {
    let mut ids = Vec::new();
    let mut stream = match orders.watch_order(WatchOrderRequest::default()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (ids, Some(status)),
    };
    loop {
        match stream.message().await {
            Ok(Some(message)) => ids.push(message.order.unwrap().order_id),
            Ok(None) => return (ids, None),
            Err(status) => return (ids, Some(status)),
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_in_a_failure_counts_as_one() {
    let server = serve(Shop::watched(|call| {
        let is_to_fail = call.header("to-fail").is_some();
        let end = is_to_fail.then(|| Err(Status::unavailable("lost its source")));
        stream::iter([Ok(watched("1")), Ok(watched("2"))].into_iter().chain(end)).boxed()
    }))
    .await;
    let channel = channel("stream-trailers", &[server.address], &policies(TOUCHY));
    let well = OrderServiceClient::new(channel.clone());
    let failing = OrderServiceClient::with_interceptor(channel, |mut request: Request<()>| {
        request.metadata_mut().insert("to-fail", "yes".parse().unwrap());
        Ok(request)
    });
    let (ids, end) = collected(well.clone()).await;
    assert_eq!((ids, end.is_none()), (vec!["1".to_owned(), "2".to_owned()], true));
    let name = format!("stream-trailers/{}/{WATCH_ORDER}", server.address);
    let shown = state(server.metrics, "breakers", &name).await;
    assert_eq!((&shown["calls"], &shown["failures"]), (&1.into(), &0.into()), "{shown}");

    for failures in 1..=2 {
        let mut failing = failing.clone();
        let mut stream = failing.watch_order(WatchOrderRequest::default()).await.unwrap().into_inner();
        // Its headers are those of any good stream, and so are its messages.
        assert!(stream.message().await.unwrap().is_some() && stream.message().await.unwrap().is_some());
        let shown = state(server.metrics, "breakers", &name).await;
        assert_eq!(shown["failures"], failures - 1, "it has not failed yet: {shown}");
        assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
        let shown = state(server.metrics, "breakers", &name).await;
        assert_eq!(shown["failures"], failures, "{shown}");
    }
    let (_, end) = collected(well).await;
    assert_eq!(end.unwrap().get_error_details().error_info().unwrap().reason, "BREAKER_OPEN");
}

/// Counts itself when it is dropped.
struct Endless(Arc<AtomicUsize>);

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn endless(dropped: &Arc<AtomicUsize>) -> impl Stream<Item = Result<WatchOrderResponse, Status>> + Send + use<> {
    let token = Endless(Arc::clone(dropped));
    stream::iter([Ok(watched("1"))]).chain(stream::pending().inspect(move |_| _ = &token))
}

#[tokio::test]
async fn a_deadline_ends_a_stream_on_both_sides() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let server = serve(Shop::watched(move |_| endless(&count).boxed())).await;
    let mut orders = OrderServiceClient::new(channel("stream-deadline", &[server.address], &policies(TOUCHY)));
    let mut request = Request::new(WatchOrderRequest::default());
    request.set_timeout(Duration::from_millis(300));
    let mut stream = orders.watch_order(request).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::DeadlineExceeded);
    until("the server stops as well", || dropped.load(Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_stream_that_nobody_reads_any_more_ends_at_its_server_and_is_nobodys_failure() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let server = serve(Shop::watched(move |_| endless(&count).boxed())).await;
    let mut orders = OrderServiceClient::new(channel("stream-dropped", &[server.address], &policies(TOUCHY)));
    for ended in 1..=3 {
        let mut stream = orders.watch_order(WatchOrderRequest::default()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        drop(stream);
        until("the server stops", || dropped.load(Ordering::Relaxed) == ended).await;
    }
    let name = format!("stream-dropped/{}/{WATCH_ORDER}", server.address);
    let shown = state(server.metrics, "breakers", &name).await;
    assert_eq!((&shown["state"], &shown["failures"]), (&"closed".into(), &0.into()), "{shown}");
}

#[tokio::test]
async fn a_client_streams_a_thousand_rows_and_its_failure_counts() {
    let failing = Arc::new(AtomicUsize::new(0));
    let is_failing = Arc::clone(&failing);
    let server = serve(Shop::new(move |_| {
        let is_failing = is_failing.load(Ordering::Relaxed) > 0;
        async move { if is_failing { Err(Status::unavailable("disk full")) } else { Ok(String::new()) } }
    }))
    .await;
    let mut users = users("stream-import", &[server.address], &policies(TOUCHY));
    let rows = || stream::iter(vec![ImportUsersRequest::default(); 1_000]);
    assert_eq!(users.import_users(rows()).await.unwrap().into_inner().created_count, 1_000);
    failing.store(1, Ordering::Relaxed);
    for _ in 0..2 {
        assert_eq!(users.import_users(rows()).await.unwrap_err().message(), "disk full");
    }
    let status = users.import_users(rows()).await.unwrap_err();
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "BREAKER_OPEN");
}

#[tokio::test]
async fn messages_go_both_ways_in_turn_and_a_server_that_is_gone_counts_as_a_failure() {
    let server = serve(Shop::new(|_| async { Ok(String::new()) })).await;
    let watcher = serve(Shop::new(|_| async { Ok(String::new()) })).await;
    let policies = policies(TOUCHY);
    let mut reflection = ServerReflectionClient::new(channel("stream-both", &[server.address], &policies));
    let (questions, receiver) = tokio::sync::mpsc::channel(1);
    let asked = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    for host in ["one", "two", "three"] {
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let question = ServerReflectionRequest { host: host.to_owned(), message_request };
        questions.send(question.clone()).await.unwrap();
        // The stream goes on only when this one is answered.
        assert_eq!(answers.message().await.unwrap().unwrap().original_request, Some(question));
    }
    let name = format!("stream-both/{}/{REFLECTION}", server.address);
    let shown = state(watcher.metrics, "breakers", &name).await;
    assert_eq!(shown["calls"], 0, "it has not ended: {shown}");
    server.task.abort();
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
    let shown = state(watcher.metrics, "breakers", &name).await;
    assert_eq!((&shown["calls"], &shown["failures"]), (&1.into(), &1.into()), "{shown}");
}
