//! An OTLP receiver that keeps spans on disk, bounded, and shows them as waterfalls.
//!
//! It is what a developer needs to see a trace without installing anything: a [`Receiver`] takes what
//! services export over gRPC, a [`Store`] keeps the spans in one file, and a [`Reader`], in the same
//! process or another, lists traces ([`table`]) and draws them ([`Trace::waterfall`]). It is not a
//! tracing backend: it has no search beyond [`Filter`], and forgets the oldest traces. Logs and metrics
//! are only passed on, if there is somewhere to pass them on to.
//!
//! ```
//! use seawall_collector::{Bounds, Filter, Receiver, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path().join("traces.db"), Bounds::default())?;
//! let bound = Receiver::new(store.clone()).bind("127.0.0.1:0".parse()?).await?;
//! println!("send spans to http://{}", bound.address());
//! bound.run(async { /* until this is ready */ }).await?;
//!
//! store.flush().await;
//! for summary in store.recent(20, &Filter::default())? {
//!     let trace = store.trace(&summary.trace_id)?.expect("it was listed");
//!     print!("{}", trace.waterfall(100, false));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Structure
//! `receiver.rs` has the OTLP services and the socket; `forward.rs` and `capture.rs` what else may
//! become of an export. `store.rs` is the file, its writer thread, and `store/reader.rs` its readers.
//! `trace.rs` has the values, `decode.rs` makes them from protobuf, `waterfall.rs` and `table.rs` show
//! them. `queue.rs`, `spell.rs` and `text.rs` serve these.

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
mod table;
mod text;
mod trace;
mod waterfall;

pub use capture::{Capture, Log, MetricPoint};
pub use error::Error;
pub use forward::EndpointError;
pub use receiver::{BindError, Bound, DEFAULT_ADDRESS, Receiver};
pub use store::{Bounds, Reader, Stats, Store};
pub use table::table;
pub use trace::{Event, Filter, Kind, Span, Status, Trace, TraceSummary};
