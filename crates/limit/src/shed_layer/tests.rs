//! The layer under a paused clock, with a processor that is as busy as the test says.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use seawall_propagation::Criticality;
use tokio::time::Instant;
use tokio::time::sleep;
use tower::service_fn;

use super::*;
use crate::shed::CpuShedderConfig;

#[tokio::test(start_paused = true)]
async fn a_busy_process_refuses_all_but_critical_calls_and_health_checks() {
    let shedder = Arc::new(CpuShedder::try_new(CpuShedderConfig::default(), Instant::now().into_std()).unwrap());
    let load = CpuLoad::default();
    let of = Arc::clone(&shedder);
    let shedders = move |path: &str| (path != "/health").then(|| Arc::clone(&of));
    let layer = ShedLayer::new(shedders, |path: &str| path != "/stream", load.clone());
    let inner = service_fn(|request: Request<Duration>| async move {
        sleep(request.into_body()).await;
        let answer = Response::builder().header("grpc-status", "0").body(Full::<Bytes>::default());
        Ok::<_, Infallible>(answer.unwrap())
    });
    let service = layer.layer(inner);
    let call = |path: &'static str, criticality, took_ms| {
        let mut service = service.clone();
        let request = Request::builder().uri(path).body(Duration::from_millis(took_ms)).unwrap();
        let call = async move { service.call(request).await.unwrap().headers().clone() };
        tokio::spawn(Propagated { criticality: Some(criticality), is_retry: false }.scope(call))
    };

    // It has served one call in a bucket, of a tenth of a second; then a hundred come.
    call("/unary", Criticality::Default, 100).await.unwrap();
    let many: Vec<_> = (0..100).map(|_| call("/unary", Criticality::Default, 10_000)).collect();
    let ended: Vec<_> = (0..50).map(|_| call("/unary", Criticality::Default, 1)).collect();
    for call in ended {
        assert_eq!(call.await.unwrap()["grpc-status"], "0");
    }
    let status = async |path, criticality| call(path, criticality, 0).await.unwrap()["grpc-status"].clone();
    assert_eq!(status("/unary", Criticality::Sheddable).await, "0", "the processor is not busy");
    load.set(0.95);
    for path in ["/unary", "/stream"] {
        assert_eq!(status(path, Criticality::Sheddable).await, "14");
        let refused = call(path, Criticality::Default, 0).await.unwrap();
        assert_eq!(
            (&refused["grpc-status"], &refused["grpc-retry-pushback-ms"]),
            (&"14".parse().unwrap(), &"1000".parse().unwrap())
        );
        assert_eq!(status(path, Criticality::Critical).await, "0");
    }
    assert_eq!(status("/health", Criticality::Sheddable).await, "0");
    let now = shedder.snapshot(Instant::now().into_std(), load.get());
    assert_eq!((now.in_flight, now.refused, now.is_shedding), (100, 4, true));
    many.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(shedder.snapshot(Instant::now().into_std(), load.get()).in_flight, 0);
}
