//! What is seen of a pool from outside (spans, logs, metrics, errors), and what must not be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use seawall_pool::{Config, Migration, Sql};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{Layer, Registry};

const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "users", sql: "CREATE TABLE users (id TEXT PRIMARY KEY)" }];

fn sqlite(folder: &tempfile::TempDir) -> Config {
    Config::new(format!("sqlite://{}/test.db", folder.path().display()))
}

/// Keeps the fields of spans and events in the order of their beginning.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut all = self.0.lock().unwrap();
        context.span(id).unwrap().extensions_mut().insert(all.len());
        let mut fields = BTreeMap::new();
        attributes.record(&mut Fields(&mut fields));
        all.push(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let index = *context.span(id).unwrap().extensions().get::<usize>().unwrap();
        values.record(&mut Fields(&mut self.0.lock().unwrap()[index]));
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().unwrap().push(fields);
    }
}

impl Seen {
    fn named(&self, name: &str) -> BTreeMap<String, String> {
        let all = self.0.lock().unwrap();
        let found = all.iter().rev().find(|fields| fields.get("otel.name").is_some_and(|known| known == name));
        found.unwrap_or_else(|| panic!("no span {name} in {all:#?}")).clone()
    }
}

#[tokio::test]
async fn spans_have_the_text_and_never_the_values() {
    let (folder, seen) = (tempfile::tempdir().unwrap(), Seen::default());
    let _guard = tracing::subscriber::set_default(Registry::default().with(seen.clone()));
    let sql = Sql::open(&sqlite(&folder), MIGRATIONS).await.unwrap();
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute("INSERT INTO users (id) VALUES ($1)", &["hidden value".into()]).await.unwrap();
    transaction.commit().await.unwrap();
    sql.query("SELECT id FROM users", &[]).await.unwrap();
    sql.execute("INSERT INTO users (id) VALUES ($1)", &["hidden value".into()]).await.unwrap_err();

    let checkout = seen.named("pool checkout");
    assert_eq!(checkout["otel.kind"], "internal");
    let select = seen.named("SELECT users");
    assert_eq!(select["otel.kind"], "client");
    assert_eq!(select["db.system.name"], "sqlite");
    assert_eq!(select["db.operation.name"], "SELECT");
    assert_eq!(select["db.collection.name"], "users");
    assert_eq!(select["db.query.text"], "SELECT id FROM users");
    assert_eq!(select["db.response.returned_rows"], "1");
    assert!(!select.contains_key("otel.status_code"));
    let insert = seen.named("INSERT users");
    assert_eq!(insert["otel.status_code"], "ERROR");
    assert_eq!(insert["error.type"], "unique_violation");
    assert_eq!(seen.named("BEGIN")["otel.kind"], "client");
    assert_eq!(seen.named("COMMIT")["db.operation.name"], "COMMIT");
    let everything = format!("{:?}", seen.0.lock().unwrap());
    assert!(!everything.contains("hidden value"), "{everything}");
}

#[tokio::test]
async fn a_connection_held_for_long_is_logged_once_with_its_place() {
    let (folder, seen) = (tempfile::tempdir().unwrap(), Seen::default());
    let _guard = tracing::subscriber::set_default(Registry::default().with(seen.clone()));
    let config = sqlite(&folder).with_leak_timeout(Duration::from_millis(40));
    let sql = Sql::open(&config, MIGRATIONS).await.unwrap();
    let line = line!() + 1;
    let held = sql.connection().await.unwrap();
    let place = format!("{}:{line}:", file!());
    let reports = || {
        let all = seen.0.lock().unwrap();
        all.iter().filter(|fields| fields.get("taken_at").is_some_and(|at| at.starts_with(&place))).count()
    };
    let until = Instant::now() + Duration::from_secs(10);
    while reports() == 0 {
        assert!(Instant::now() < until, "no report of {place} in {:?}", seen.0.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Several more rounds of the watch.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reports(), 1);
    drop(held);
}

#[tokio::test]
async fn metrics_count_connections_by_state() {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(exporter.clone()).build()).build();
    opentelemetry::global::set_meter_provider(provider.clone());
    let folder = tempfile::tempdir().unwrap();
    let name = format!("sqlite://{}/test.db", folder.path().display());
    let config = sqlite(&folder).with_size_max(2).with_checkout_timeout(Duration::from_millis(50));
    let sql = Sql::open(&config, MIGRATIONS).await.unwrap();
    let (first, _second) = (sql.connection().await.unwrap(), sql.connection().await.unwrap());
    sql.connection().await.unwrap_err();
    drop(first);
    provider.force_flush().unwrap();

    let number = |metric: &str, label: &str| {
        let all = exporter.get_finished_metrics().unwrap();
        let metrics = all.iter().flat_map(|resource| resource.scope_metrics()).flat_map(|scope| scope.metrics());
        let mut found = None;
        for metric in metrics.filter(|known| known.name() == metric) {
            let points: Vec<(Vec<String>, u64)> = match metric.data() {
                AggregatedMetrics::I64(MetricData::Sum(sum)) => sum
                    .data_points()
                    .map(|p| (p.attributes().map(|a| a.value.to_string()).collect(), p.value() as u64))
                    .collect(),
                AggregatedMetrics::U64(MetricData::Sum(sum)) => sum
                    .data_points()
                    .map(|p| (p.attributes().map(|a| a.value.to_string()).collect(), p.value()))
                    .collect(),
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => histogram
                    .data_points()
                    .map(|p| (p.attributes().map(|a| a.value.to_string()).collect(), p.count()))
                    .collect(),
                other => panic!("{other:?}"),
            };
            let point = points.into_iter().find(|(values, _)| {
                values.contains(&name) && (label.is_empty() || values.iter().any(|value| value == label))
            });
            found = point.map(|(_, number)| number).or(found);
        }
        found.unwrap_or_else(|| panic!("no {metric} {label}"))
    };
    assert_eq!(number("db.client.connection.count", "used"), 1);
    assert_eq!(number("db.client.connection.count", "idle"), 1);
    assert_eq!(number("db.client.connection.max", ""), 2);
    assert_eq!(number("db.client.connection.timeouts", ""), 1);
    assert_eq!(number("seawall.pool.connections.created", ""), 2);
    assert_eq!(number("seawall.pool.connections.closed", "broken"), 0);
    // Two migration steps and two checkouts have waited; all but the second connection are given back.
    assert_eq!(number("db.client.connection.wait_time", ""), 4);
    assert_eq!(number("db.client.connection.use_time", ""), 3);
}

#[tokio::test]
async fn an_unreachable_database_is_named_at_once_without_its_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Whoever waited for the checkout to time out would wait for ever.
    let config = Config::new(format!("postgres://ann:topsecret@127.0.0.1:{port}/shop"))
        .with_checkout_timeout(Duration::from_secs(365 * 24 * 3600));
    let error = Sql::open(&config, MIGRATIONS).await.unwrap_err();
    let expected = format!(
        "cannot connect to the database postgres://127.0.0.1:{port}/shop: is it running, and is sql.url right?"
    );
    assert_eq!(error.to_string(), expected);
    assert!(!format!("{error:?} {config:?}").contains("topsecret"), "{error:?} {config:?}");
    let outward = seawall_error::Error::from(error);
    assert_eq!((outward.code(), outward.reason()), (seawall_error::Code::Unavailable, "DATABASE_UNAVAILABLE"));
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_without_being_shown() {
    for (url, reason) in [
        ("postgres://ann:topsecret@db/shop?sslmode=prefer", "sslmode must be verify-full or disable"),
        ("postgres://ann:topsecret@db/shop?sslrootcert=/nosuch.pem", "sslrootcert /nosuch.pem cannot be read"),
        ("postgres://ann@db/shop?password=topsecret&nosuch=1", "%XX"),
        ("postgres://ann:topsecret@db:port/shop", "%XX"),
        ("mysql://ann:topsecret@db/shop", "must begin with"),
        ("sqlite://", "must name a file"),
        ("sqlite::memory:", "must begin with"),
    ] {
        let error = Sql::open(&Config::new(url), MIGRATIONS).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("topsecret"), "{error:?}");
    }
}

#[tokio::test]
async fn sqlite_is_set_to_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let sql = Sql::open(&sqlite(&folder), MIGRATIONS).await.unwrap();
    let row = sql.query_opt("PRAGMA journal_mode", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<String>("journal_mode").unwrap(), "wal");
    let row = sql.query_opt("PRAGMA synchronous", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("synchronous").unwrap(), 2, "FULL");
    let row = sql.query_opt("PRAGMA foreign_keys", &[]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("foreign_keys").unwrap(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.db"), "this is no database, and long enough to be looked at").unwrap();
    let error = Sql::open(&sqlite(&folder), MIGRATIONS).await.unwrap_err();
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
    let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    assert!(text.contains("test.db") && text.contains("file is not a database"), "{text}");
}

#[test]
fn a_url_of_no_known_kind_is_one_of_the_mistakes_and_is_not_shown() {
    let mut reader = seawall_config::Reader::new("[sql]\nurl = 5\nsize_max = 0", "shop.toml", [("HOME", "/")]);
    Config::read(&mut reader.section("sql"), "sqlite://shop.db");
    let mistakes = reader.finish().unwrap_err().to_string();
    assert!(
        mistakes.contains("sql.url = (hidden) (from shop.toml): must be a URL that begins with sqlite://"),
        "{mistakes}"
    );
    assert!(mistakes.contains("sql.size_max"), "{mistakes}");
}

/// Another process may take longer with a migration than any write waits for another.
#[tokio::test]
async fn a_start_waits_for_the_migrations_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").unwrap();

    let url = format!("sqlite://{}", file.display());
    let variables = [("SEAWALL_SQL_URL", url.as_str()), ("SEAWALL_SQL_BUSY_TIMEOUT", "10ms")];
    let config = Config::read(&mut seawall_config::Reader::new("", "", variables).section("sql"), "sqlite://x.db");
    let mut start = std::pin::pin!(Sql::open(&config, MIGRATIONS));
    let early = tokio::time::timeout(Duration::from_millis(200), start.as_mut()).await;
    assert!(early.is_err(), "it did not wait: {early:?}");
    other.execute_batch("COMMIT").unwrap();
    start.await.unwrap();
}
