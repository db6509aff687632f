//! How a balancer is put together.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Body;
use seawall_classify::Classifier;
use tokio::sync::Notify;
use tonic::client::GrpcService;

use crate::balance::{Owner, Shared, TimeoutOf};
use crate::config::{Config, ConfigError};
use crate::discover::{Address, Discover};
use crate::member::Judge;
use crate::outlier::Outlier;
use crate::task::{Task, Watch};
use crate::{Balance, Endpoint, health};

/// Makes a [`Balance`].
pub struct Builder<S> {
    target: &'static str,
    config: Config,
    timeout_of: TimeoutOf,
    watch: Option<Watch<S>>,
}

impl<S: Endpoint + Send + Sync + 'static> Builder<S> {
    /// `target` is what metrics, logs and the live state call the service.
    ///
    /// # Errors
    /// Names each setting that is not allowed.
    pub fn try_new(target: &'static str, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { target, config, timeout_of: |_| None, watch: None })
    }

    /// How a call's time is read from its headers, where the layer that ends late calls stands outside
    /// of the balancer: from `grpc-timeout`. Such a layer drops a late call, as a caller does who has
    /// lost interest; without this an endpoint that never answers would not be noticed. Not needed
    /// where the endpoints themselves end late calls, with `DEADLINE_EXCEEDED`.
    #[must_use]
    pub fn timeout_of(mut self, timeout_of: TimeoutOf) -> Self {
        self.timeout_of = timeout_of;
        self
    }

    /// Watches `grpc.health.v1.Health` of each endpoint for `service`, as gRFC A17 has it: an
    /// endpoint that does not say `SERVING`, or has not said anything yet, is not picked while
    /// another one is available. One without a health service is taken for healthy.
    #[must_use]
    pub fn health_watch(mut self, service: impl Into<Arc<str>>) -> Self
    where
        S: GrpcService<tonic::body::Body, Future: Send>,
        S::ResponseBody: Body<Data = Bytes> + Send + 'static,
        <S::ResponseBody as Body>::Error: Into<tonic::codegen::StdError> + Send,
    {
        let service = service.into();
        let target = self.target;
        self.watch = Some(Box::new(move |endpoint, address, vitals| {
            health::watch(endpoint, target, Arc::clone(&service), address, vitals).boxed()
        }));
        self
    }

    /// Starts to look for endpoints: on a task that ends with the last clone of the balancer. Needs
    /// a tokio runtime.
    ///
    /// `endpoint` makes the service for an address that is new; `classifier` is asked with the path
    /// of each call. The live state is published as `endpoints` of the target.
    pub fn build<C>(
        self,
        discover: impl Discover,
        endpoint: impl Fn(&Address) -> S + Send + 'static,
        classifier: C,
    ) -> Balance<S, C>
    where
        C: Fn(&str) -> Classifier,
    {
        let Self { target, config, timeout_of, watch } = self;
        let judge = Judge { outlier: config.outlier.clone().map(Outlier::new), failing: Notify::new() };
        let shared = Arc::new(Shared {
            target,
            pick: config.pick.clone(),
            force_pick_after: config.force_pick_after,
            timeout_of,
            set: ArcSwapOption::empty(),
            first: Arc::new(Notify::new()),
            judge: Arc::new(judge),
        });
        let live: Arc<dyn seawall_provenance::Live> = Arc::<Shared<S>>::clone(&shared);
        seawall_provenance::publish("endpoints", target, Arc::downgrade(&live));
        let task = Task::new(Arc::clone(&shared), config, endpoint, watch);
        let task = tokio::spawn(task.run(discover)).abort_handle();
        Balance { owner: Arc::new(Owner { shared, task }), classifier }
    }
}
