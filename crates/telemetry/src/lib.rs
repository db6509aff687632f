//! Spans, metrics and logs: OTLP, Prometheus text, JSON with trace ids; W3C propagation.
