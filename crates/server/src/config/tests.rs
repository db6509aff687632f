//! Settings that are good one by one and not together.

use seawall_config::Reader;

use super::Config;

/// What is wrong with the addresses that a server is to listen on.
fn mistakes(listen: &str, metrics: &str) -> String {
    let variables = [("SEAWALL_SERVER_LISTEN", listen), ("SEAWALL_SERVER_METRICS_LISTEN", metrics)];
    let mut reader = Reader::new("", "", variables);
    Config::read(&mut reader.section("server"), 50_051, 9_464);
    reader.finish().err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

/// It was taken for good, and the process could not start.
#[test]
fn calls_and_metrics_are_not_served_at_one_address() {
    for (listen, metrics) in
        [("127.0.0.1:80", "127.0.0.1:80"), ("0.0.0.0:80", "127.0.0.1:80"), ("0.0.0.0:80", "[::]:80")]
    {
        let said = mistakes(listen, metrics);
        assert!(
            said.contains("server.metrics_listen (SEAWALL_SERVER_METRICS_LISTEN): must be another address"),
            "{said}"
        );
    }
    for (listen, metrics) in
        [("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.1:80", "127.0.0.2:80"), ("0.0.0.0:80", "[::1]:80")]
    {
        assert_eq!(mistakes(listen, metrics), "", "{listen} {metrics}");
    }
}
