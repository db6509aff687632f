//! Calls through both layers, seen from a collector. One process sets telemetry up once, so this
//! file is one test.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use seawall_config::Reader;
use seawall_telemetry::{AttemptLayer, ClientLayer, Config, ServerLayer, init, prometheus_text};
use seawall_testkit::Collector;
use tower::{Layer as _, Service as _, service_fn};

type Frames = tokio_stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>;
type Answer = Result<Response<StreamBody<Frames>>, Infallible>;

/// One message and trailers.
fn answer(code: &str) -> Answer {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
    let frames = vec![Ok(Frame::data(Bytes::from_static(b"x"))), Ok(Frame::trailers(trailers))];
    Ok(Response::new(StreamBody::new(tokio_stream::iter(frames))))
}

const METHODS: [&str; 3] = ["shop.v1.Shop/Buy", "shop.v1.Shop/Wait", "Panic"];
const CALLED: [&str; 2] = ["shop.v1.Peer/Help", "Break"];

/// Serves one call whose handler logs, works in a span and calls a peer; returns the trailers and
/// what the peer was sent.
async fn serve(path: &str, traceparent: &str, code: &'static str) -> (HeaderMap, HeaderMap) {
    let is_sampled = traceparent.ends_with("01");
    let (sent, mut received) = tokio::sync::mpsc::unbounded_channel();
    let handler = service_fn(move |_: Request<()>| {
        let sent = sent.clone();
        async move {
            let peer = service_fn(move |request: Request<()>| {
                sent.send(request.headers().clone()).unwrap();
                seawall_provenance::decided("retry.attempt", &[], || vec![opentelemetry::KeyValue::new("attempt", 2)]);
                async { answer("0") }
            });
            let work = tracing::info_span!("work", otel.name = "work");
            assert_eq!(work.is_disabled(), !is_sampled, "a span was built for nothing, or was not built");
            work.in_scope(|| tracing::info!(items = 3, "working"));
            let request = Request::post("http://peer/shop.v1.Peer/Help").body(()).unwrap();
            let attempts = AttemptLayer::new("peer", CALLED).layer(peer);
            let response =
                ClientLayer::new("peer", "peer.local", 50051, CALLED).layer(attempts).call(request).await.unwrap();
            response.into_body().collect().await.unwrap();
            answer(code)
        }
    });
    let mut request = Request::post(path).body(()).unwrap();
    request.headers_mut().insert("traceparent", HeaderValue::try_from(traceparent).unwrap());
    let response = ServerLayer::new(METHODS).layer(handler).call(request).await.unwrap();
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    (trailers, received.recv().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_leaves_behind() {
    let collector = Collector::start().await;
    let variables = [
        ("SEAWALL_TELEMETRY_OTLP_ENDPOINT", collector.endpoint()),
        ("SEAWALL_TELEMETRY_METRICS_INTERVAL", "1s"),
        ("SEAWALL_TELEMETRY_SAMPLE_RATIO", "0"),
    ];
    let config = Config::read(&mut Reader::new("", "", variables).section("telemetry"));
    let telemetry = init("shop", "1.2.3", &config).unwrap();
    // Or each line of the HTTP/2 stack would be looked at before it is thrown away.
    assert_eq!(tracing::level_filters::LevelFilter::current(), tracing::Level::INFO);

    // A caller that does not sample: the context goes on, and nothing is recorded.
    let unsampled = "00-11111111111111111111111111111111-2222222222222222-00";
    let (_, sent) = serve("/shop.v1.Shop/Buy", unsampled, "0").await;
    assert_eq!(sent["traceparent"], unsampled);

    // A caller that samples, whatever the ratio here.
    let (trailers, sent) =
        serve("/shop.v1.Shop/Buy", "00-33333333333333333333333333333333-4444444444444444-01", "13").await;
    let status = tonic::Status::from_header_map(&trailers).unwrap();
    let request_info = tonic_types::StatusExt::get_error_details(&status).request_info().unwrap().clone();
    assert_eq!(request_info.request_id, "33333333333333333333333333333333");

    let trace = collector.trace("33333333333333333333333333333333", |trace| trace.spans.len() == 3).await;
    let span = |name: &str| trace.spans.iter().find(|span| span.name == name).unwrap();
    let (server, work, client) = (span("shop.v1.Shop/Buy"), span("work"), span("shop.v1.Peer/Help"));
    assert_eq!(server.parent_id.as_deref(), Some("4444444444444444"));
    assert_eq!(work.parent_id.as_deref(), Some(server.span_id.as_str()));
    assert_eq!(client.parent_id.as_deref(), Some(server.span_id.as_str()));
    assert_eq!(sent["traceparent"], format!("00-{}-{}-01", trace.trace_id, client.span_id).as_str());
    assert_eq!((server.code.as_str(), client.code.as_str()), ("INTERNAL", "OK"));
    assert!(server.is_error() && !client.is_error());
    assert_eq!(server.attribute("rpc.system.name"), Some("grpc"));
    assert_eq!(client.attribute("server.address"), Some("peer.local"));
    assert_eq!(server.service, "shop");
    assert_eq!(work.events[0].name, "working");
    // A policy's decision stands in the span of the call that it is about, with its numbers.
    assert_eq!(client.events[0].name, "retry.attempt");
    assert_eq!(client.events[0].attributes, [("attempt".to_owned(), "2".to_owned())]);

    // Logs carry the ids of either kind of call, and metrics count both.
    let capture = collector
        .capture(|seen| {
            let of_both = ["1111", "3333"].iter().all(|id| {
                seen.logs()
                    .iter()
                    .any(|l| l.body == "working" && l.trace_id.as_deref().is_some_and(|t| t.starts_with(id)))
            });
            of_both && seen.metric_points().iter().any(|point| point.name == "grpc.server.call.duration")
        })
        .await;
    assert!(capture.metric_points().iter().any(|point| point.name == "grpc.client.attempt.started"));
    assert!(collector.trace_if_any("11111111111111111111111111111111").is_none());

    // A made-up method does not get a time series of its own.
    serve("/unknown", unsampled, "12").await;
    let text = prometheus_text().unwrap();
    for expected in [
        r#"grpc_server_call_started_total{grpc_method="shop.v1.Shop/Buy"} 2"#,
        r#"grpc_server_call_duration_seconds_count{grpc_method="shop.v1.Shop/Buy",grpc_status="INTERNAL"} 1"#,
        r#"grpc_server_call_duration_seconds_count{grpc_method="shop.v1.Shop/Buy",grpc_status="OK"} 1"#,
        r#"grpc_server_call_duration_seconds_count{grpc_method="other",grpc_status="UNIMPLEMENTED"} 1"#,
        r#"grpc_client_attempt_duration_seconds_count{grpc_method="shop.v1.Peer/Help",grpc_status="OK",grpc_target="peer"} 3"#,
        r#"grpc_client_call_duration_seconds_count{grpc_method="shop.v1.Peer/Help",grpc_status="OK",grpc_target="peer"} 3"#,
        r#"seawall_decisions_total{decision="retry.attempt"} 3"#,
    ] {
        assert!(text.contains(expected), "{expected} is not in:\n{text}");
    }

    // A call that is dropped was cancelled.
    let endless = service_fn(|_: Request<()>| std::future::pending::<Answer>());
    drop(ServerLayer::new(METHODS).layer(endless).call(Request::post("/shop.v1.Shop/Wait").body(()).unwrap()));
    let cancelled =
        r#"grpc_server_call_duration_seconds_count{grpc_method="shop.v1.Shop/Wait",grpc_status="CANCELLED"} 1"#;
    assert!(prometheus_text().unwrap().contains(cancelled));

    // One whose handler panics was not.
    let call = async {
        let careless = service_fn(|_: Request<()>| async { panic!("a mistake") as Answer });
        let _ = ServerLayer::new(METHODS).layer(careless).call(Request::post("/Panic").body(()).unwrap()).await;
    };
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    let internal = r#"grpc_server_call_duration_seconds_count{grpc_method="Panic",grpc_status="INTERNAL"} 1"#;
    assert!(prometheus_text().unwrap().contains(internal));

    // An answer that breaks off has the code that the caller sees.
    let broken = service_fn(|_: Request<()>| async {
        let frames = tokio_stream::iter([Err::<Frame<Bytes>, _>(tonic::Status::resource_exhausted("calm down"))]);
        Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
    });
    let request = Request::post("http://peer/Break").body(()).unwrap();
    let response = ClientLayer::new("peer", "peer.local", 50051, CALLED).layer(broken).call(request).await.unwrap();
    response.into_body().collect().await.unwrap_err();
    let exhausted = r#"grpc_client_call_duration_seconds_count{grpc_method="Break",grpc_status="RESOURCE_EXHAUSTED",grpc_target="peer"} 1"#;
    assert!(prometheus_text().unwrap().contains(exhausted));
    telemetry.shutdown().await;
}
