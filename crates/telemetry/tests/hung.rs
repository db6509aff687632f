//! A collector that takes connections and says nothing must not hold up the end of a process.

use std::time::{Duration, Instant};

use seawall_config::Reader;
use seawall_telemetry::{Config, init};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_less_than_the_second_that_a_shutdown_leaves() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("SEAWALL_TELEMETRY_OTLP_ENDPOINT", endpoint.as_str())];
    let config = Config::read(&mut Reader::new("", "", variables).section("telemetry"));
    let telemetry = init("shop", "1.2.3", &config).unwrap();
    tracing::info!("never arrives");
    opentelemetry::global::meter("shop").u64_counter("never.arrives").build().add(1, &[]);
    let start = Instant::now();
    telemetry.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}
