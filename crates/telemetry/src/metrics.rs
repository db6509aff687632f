//! The metrics of calls (gRFC A66): as OTLP, and in Prometheus's text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use prometheus::{Encoder as _, TextEncoder};
use seawall_error::code_name;
use tonic::Code;

use crate::encode::unix_nanos;
use crate::histogram::{BOUNDARIES, Latencies};
use crate::series::{self, Kind, Series};

/// Nanoseconds in a second.
const NANOS: f64 = 1e9;

/// An instrument of A66.
struct Instrument {
    name: &'static str,
    description: &'static str,
    unit: &'static str,
    kind: Kind,
}

const fn started(name: &'static str, unit: &'static str, kind: Kind, description: &'static str) -> Instrument {
    Instrument { name, description, unit, kind }
}

const fn duration(name: &'static str, kind: Kind, description: &'static str) -> Instrument {
    Instrument { name, description, unit: "s", kind }
}

const STARTED: [Instrument; 2] = [
    started("grpc.server.call.started", "{call}", Kind::Server, "calls that reached the server"),
    started("grpc.client.attempt.started", "{attempt}", Kind::Attempt, "attempts that were sent out"),
];

const DURATIONS: [Instrument; 3] = [
    duration("grpc.server.call.duration", Kind::Server, "from the first header to the trailers"),
    duration("grpc.client.attempt.duration", Kind::Attempt, "from sending an attempt to its trailers"),
    duration("grpc.client.call.duration", Kind::Client, "of a call with all its attempts"),
];

/// Labels with their values, in the order of their names.
type Labels = Vec<(&'static str, String)>;

fn labels(series: &Series, code: Option<Code>) -> Labels {
    let mut labels = vec![("grpc.method", series.method.to_string())];
    labels.extend(code.map(|code| ("grpc.status", code_name(code).to_owned())));
    if series.kind != Kind::Server {
        labels.push(("grpc.target", series.target.name.to_string()));
    }
    labels
}

/// Everything that was counted, by kind and labels: peers of one name are counted together.
#[derive(Default)]
struct Gathered {
    started: BTreeMap<(Kind, Labels), u64>,
    ended: BTreeMap<(Kind, Labels), Box<Latencies>>,
}

fn gather() -> Gathered {
    let mut all = Gathered::default();
    for series in series::all() {
        let totals = series.shards.totals();
        if totals.started > 0 {
            *all.started.entry((series.kind, labels(series, None))).or_default() += totals.started;
        }
        for (code, latencies) in totals.ended.into_iter().enumerate() {
            let Some(latencies) = latencies else { continue };
            let key = (series.kind, labels(series, Some(Code::from(code as i32))));
            all.ended.entry(key).and_modify(|sum| sum.add(&latencies)).or_insert(latencies);
        }
    }
    all
}

/// When counting began, in nanoseconds since 1970.
fn began() -> u64 {
    static BEGAN: OnceLock<u64> = OnceLock::new();
    *BEGAN.get_or_init(|| unix_nanos(SystemTime::now()))
}

/// All metrics of calls that have points.
pub(crate) fn otlp() -> Vec<Metric> {
    let all = gather();
    let (start_time_unix_nano, time_unix_nano) = (began(), unix_nanos(SystemTime::now()));
    let temporality = AggregationTemporality::Cumulative.into();
    let sums = STARTED.iter().map(|instrument| {
        let of_kind = all.started.iter().filter(|((kind, _), _)| *kind == instrument.kind);
        let points = of_kind.map(|((_, labels), count)| NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano,
            time_unix_nano,
            value: Some(number_data_point::Value::AsInt(*count as i64)),
            ..Default::default()
        });
        let data_points: Vec<_> = points.collect();
        (
            instrument,
            !data_points.is_empty(),
            metric::Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: true }),
        )
    });
    let histograms = DURATIONS.iter().map(|instrument| {
        let of_kind = all.ended.iter().filter(|((kind, _), _)| *kind == instrument.kind);
        let points = of_kind.map(|((_, labels), latencies)| HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano,
            time_unix_nano,
            count: latencies.count(),
            sum: Some(latencies.sum as f64 / NANOS),
            bucket_counts: latencies.buckets.to_vec(),
            explicit_bounds: BOUNDARIES.iter().map(|nanos| *nanos as f64 / NANOS).collect(),
            ..Default::default()
        });
        let data_points: Vec<_> = points.collect();
        (
            instrument,
            !data_points.is_empty(),
            metric::Data::Histogram(Histogram { data_points, aggregation_temporality: temporality }),
        )
    });
    let with_points = sums.chain(histograms).filter(|(_, has_points, _)| *has_points);
    let named = with_points.map(|(instrument, _, data)| Metric {
        name: instrument.name.to_owned(),
        description: instrument.description.to_owned(),
        unit: instrument.unit.to_owned(),
        data: Some(data),
        ..Default::default()
    });
    named.collect()
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let pair = |(name, value): &(&'static str, String)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) }),
        ..Default::default()
    };
    labels.iter().map(pair).collect()
}

static REGISTRY: OnceLock<prometheus::Registry> = OnceLock::new();

/// The registry that the Prometheus reader of all other metrics fills on demand.
pub(crate) fn registry() -> &'static prometheus::Registry {
    REGISTRY.get_or_init(prometheus::Registry::new)
}

/// Every metric of the process in Prometheus's text format.
///
/// # Errors
/// If two instruments contradict each other.
pub fn prometheus_text() -> Result<String, impl std::error::Error + Send + Sync + 'static> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry().gather(), &mut text).map(|()| {
        let mut text = String::from_utf8_lossy(&text).into_owned();
        of_calls(&mut text, &gather());
        text
    })
}

fn of_calls(text: &mut String, all: &Gathered) {
    for Instrument { name, description, kind, .. } in &STARTED {
        let of_kind = all.started.iter().filter(|((of, _), _)| of == kind);
        let name = format!("{}_total", name.replace('.', "_"));
        let lines = of_kind.map(|((_, labels), count)| format!("{name}{{{}}} {count}\n", shown(labels)));
        family(text, &name, description, "counter", &lines.collect::<String>());
    }
    for Instrument { name, description, kind, .. } in &DURATIONS {
        let of_kind = all.ended.iter().filter(|((of, _), _)| of == kind);
        let name = format!("{}_seconds", name.replace('.', "_"));
        let lines = of_kind.map(|((_, labels), latencies)| histogram(&name, &shown(labels), latencies));
        family(text, &name, description, "histogram", &lines.collect::<String>());
    }
}

fn family(text: &mut String, name: &str, description: &str, kind: &str, lines: &str) {
    if !lines.is_empty() {
        // Writing to a string does not fail, here and below.
        let _ = write!(text, "# HELP {name} {description}\n# TYPE {name} {kind}\n{lines}");
    }
}

fn histogram(name: &str, labels: &str, latencies: &Latencies) -> String {
    let (mut lines, mut count) = (String::new(), 0);
    let boundaries = BOUNDARIES.iter().map(|nanos| (*nanos as f64 / NANOS).to_string());
    for (boundary, in_bucket) in boundaries.chain(["+Inf".to_owned()]).zip(latencies.buckets) {
        count += in_bucket;
        let _ = writeln!(lines, r#"{name}_bucket{{{labels},le="{boundary}"}} {count}"#);
    }
    let _ = writeln!(lines, "{name}_sum{{{labels}}} {}", latencies.sum as f64 / NANOS);
    let _ = writeln!(lines, "{name}_count{{{labels}}} {count}");
    lines
}

fn shown(labels: &Labels) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs = labels.iter().map(|(name, value)| format!(r#"{}="{}""#, name.replace('.', "_"), escape(value)));
    pairs.collect::<Vec<_>>().join(",")
}
