//! An OTLP receiver that keeps spans on disk, bounded, and shows them as waterfalls.

mod capture;
mod decode;
mod error;
mod forward;
#[cfg(test)]
mod make;
mod queue;
mod receiver;
mod spell;
mod store;
mod trace;

pub use capture::{Capture, Log, MetricPoint};
pub use error::Error;
pub use forward::EndpointError;
pub use receiver::{BindError, Bound, DEFAULT_ADDRESS, Receiver};
pub use store::{Bounds, Reader, Stats, Store};
pub use trace::{Event, Filter, Kind, Span, Status, Trace, TraceSummary};
