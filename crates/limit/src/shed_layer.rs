//! The layer that refuses calls while the processor is busy.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use opentelemetry::KeyValue;
use seawall_classify::{End, ObservedBody, ObservedFuture, Observer};
use seawall_clock::now;
use seawall_error::Error;
use seawall_propagation::Propagated;
use tonic::Code;
use tower::{Layer, Service};

use crate::shed::{CpuLoad, CpuPermit, CpuShed, CpuShedder};

/// Sheds calls by a [`CpuShedder`] and the load of this process.
///
/// - A call of a path without a shedder passes, such as one of the health service.
/// - A unary call is in flight until its trailers; one that ends with `OK` counts as served.
/// - A streaming call may be refused and is not counted.
/// - A call that is refused is answered `UNAVAILABLE`, reason `OVERLOADED`, with the time to come back.
///
/// It stands in front of the limit on concurrency, which refuses the critical calls that this lets
/// through. The criticality is that of [`Propagated::current`].
///
/// ```
/// use std::sync::Arc;
/// use std::time::Instant;
/// use seawall_limit::{CpuLoad, CpuShedder, CpuShedderConfig, ShedLayer};
///
/// let (load, sampler) = CpuLoad::new(); // tokio::spawn(sampler.run());
/// let shedder = Arc::new(CpuShedder::try_new(CpuShedderConfig::default(), Instant::now())?);
/// let shedders = move |path: &str| (!path.starts_with("/grpc.health.")).then(|| Arc::clone(&shedder));
/// let layer = ShedLayer::new(shedders, |path: &str| path != "/shop.v1.Orders/Watch", load);
/// # drop(sampler);
/// # Ok::<(), seawall_limit::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ShedLayer<L, U> {
    shedders: L,
    is_unary: U,
    load: CpuLoad,
}

impl<L, U> ShedLayer<L, U>
where
    L: Fn(&str) -> Option<Arc<CpuShedder>>,
    U: Fn(&str) -> bool,
{
    /// `shedders` is asked with the path of a call for its shedder, and `is_unary` whether neither side
    /// of it streams.
    pub fn new(shedders: L, is_unary: U, load: CpuLoad) -> Self {
        Self { shedders, is_unary, load }
    }
}

impl<S, L: Clone, U: Clone> Layer<S> for ShedLayer<L, U> {
    type Service = Shedding<S, L, U>;

    fn layer(&self, inner: S) -> Self::Service {
        Shedding { inner, layer: self.clone() }
    }
}

/// The service of [`ShedLayer`].
#[derive(Debug, Clone)]
pub struct Shedding<S, L, U> {
    inner: S,
    layer: ShedLayer<L, U>,
}

impl<S, L, U, ReqBody, ResBody> Service<Request<ReqBody>> for Shedding<S, L, U>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    L: Fn(&str) -> Option<Arc<CpuShedder>>,
    U: Fn(&str) -> bool,
    ResBody: Body,
{
    type Response = Response<ObservedBody<ResBody, ShedTicket>>;
    type Error = S::Error;
    type Future = ShedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let path = request.uri().path();
        let admitted = match (self.layer.shedders)(path) {
            None => Ok(None),
            Some(shedder) => {
                let (now, load) = (now().into_std(), self.layer.load.get());
                let criticality = Propagated::current().criticality();
                if (self.layer.is_unary)(path) {
                    shedder.try_admit(now, load, criticality).map(Some)
                } else {
                    shedder.check(now, load, criticality).map(|()| None)
                }
            }
        };
        match admitted {
            Ok(permit) => ObservedFuture::new(self.inner.call(request), ShedTicket(permit)),
            Err(shed) => ObservedFuture::refused(refusal(&shed)),
        }
    }
}

/// The response of [`Shedding`]. Dropping it drops the call inside.
pub type ShedFuture<F> = ObservedFuture<F, ShedTicket>;

/// Counts a call as in flight until its end.
#[derive(Debug)]
pub struct ShedTicket(Option<CpuPermit>);

impl Observer for ShedTicket {
    fn end(self, end: End) {
        if let (Some(permit), End::Code(Code::Ok)) = (self.0, end) {
            permit.served(now().into_std());
        }
    }
}

/// The error that answers a refused call, which is noted.
fn refusal(shed: &CpuShed) -> Error {
    if shed.is_first {
        let (cpu_load, in_flight) = (shed.cpu_load, shed.in_flight);
        tracing::warn!(cpu_load, in_flight, in_flight_max = shed.in_flight_max, "shedding has begun");
    }
    seawall_provenance::decided("limit.cpu_shed", &[KeyValue::new("criticality", shed.criticality.as_str())], || {
        vec![
            KeyValue::new("cpu_load", shed.cpu_load),
            KeyValue::new("in_flight", i64::from(shed.in_flight)),
            KeyValue::new("in_flight_max", shed.in_flight_max),
        ]
    });
    Error::from(*shed)
}

#[cfg(test)]
mod tests;
