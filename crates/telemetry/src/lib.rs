//! Spans, metrics and logs: OTLP, Prometheus text, JSON with trace ids; W3C propagation.
//!
//! [`init`] sets a process up once. [`ServerLayer`] and [`ClientLayer`] then see every call: they
//! carry the trace context across, decide once at the edge whether the call is sampled, and record
//! the gRPC metrics of gRFC A66. Between them, ordinary `tracing` spans and events are all that code
//! needs; what happens in a sampled call is exported, and what happens in another one costs next to
//! nothing, because its spans are never built.
//!
//! The trace context of a call is [`TraceContext::current`](seawall_trace::TraceContext::current), in
//! every poll of the call, sampled or not. Logs, errors and outgoing calls take the trace id from it.
//!
//! A collector that is away costs its spans and nothing else: calls neither fail nor wait, one log
//! line says that it is away and one that it is back.
//!
//! # Structure
//! `config.rs` are the settings; `init.rs` puts the process together; `context.rs` decides whether a call is
//! recorded; `server.rs` and `client.rs` are the layers and `call.rs` what both wrap around a call;
//! `attempt.rs` is the layer of its attempts; `series.rs` is what calls are told apart by, `histogram.rs`
//! counts them and `metrics.rs` shows the counts; `spans.rs` takes the spans of `tracing`; `export.rs`
//! sends all spans and `encode.rs` writes them as OTLP; `log.rs` formats lines and `lines.rs` writes them; `collector.rs` watches
//! whether the collector is there.

mod attempt;
mod call;
mod client;
mod collector;
mod config;
mod context;
mod encode;
mod export;
mod histogram;
mod init;
mod lines;
mod log;
mod metrics;
mod series;
mod server;
mod spans;

pub use attempt::{Attempt, AttemptFuture, AttemptLayer, AttemptRecord};
pub use call::{RecordedBody, ResponseFuture};
pub use client::{Client, ClientLayer};
pub use config::{Config, LogFormat};
pub use context::trace_id;
pub use init::{InitError, Telemetry, init};
pub use metrics::prometheus_text;
pub use server::{Server, ServerLayer};
