//! Where everything listens; the same over all restarts of a service.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Result;

use crate::ports::{Ports, local};
use crate::terminal;
use crate::workspace::Service;

/// The ports of one run.
#[derive(Debug)]
pub(super) struct Addresses {
    /// By name of the service.
    pub(super) grpc: BTreeMap<String, SocketAddr>,
    pub(super) metrics: BTreeMap<String, SocketAddr>,
    pub(super) otlp: SocketAddr,
    ports: Ports,
}

impl Addresses {
    /// The preferred ports of `services`, taken or not.
    pub(super) fn preferred(services: &[Service]) -> Self {
        let of = |port: fn(&Service) -> u16| {
            services.iter().map(|service| (service.name.clone(), local(port(service)))).collect()
        };
        Self {
            grpc: of(|service| service.metadata.port),
            metrics: of(|service| service.metadata.metrics_port),
            otlp: seawall_collector::DEFAULT_ADDRESS,
            ports: Ports::new([]),
        }
    }

    /// The preferred ports of `services`, which are some of the `known` ones; where one is taken, the
    /// next free one that none of them prefers.
    pub(super) fn pick_all(services: &[Service], known: &[Service]) -> Result<Self> {
        let otlp = seawall_collector::DEFAULT_ADDRESS;
        let preferred = known.iter().flat_map(|service| [service.metadata.port, service.metadata.metrics_port]);
        let ports = Ports::new(preferred.chain([otlp.port()]));
        let mut addresses = Self { grpc: BTreeMap::new(), metrics: BTreeMap::new(), otlp, ports };
        for Service { name, metadata, .. } in services {
            let grpc = addresses.pick(name, metadata.port)?;
            let metrics = addresses.pick(&format!("{name}'s metrics"), metadata.metrics_port)?;
            addresses.grpc.insert(name.clone(), grpc);
            addresses.metrics.insert(name.clone(), metrics);
        }
        addresses.otlp = addresses.pick("traces", otlp.port())?;
        Ok(addresses)
    }

    /// The preferred port, or the next free one, which is said.
    pub(super) fn pick(&mut self, what: &str, preferred: u16) -> Result<SocketAddr> {
        let address = self.ports.pick(preferred)?;
        if address.port() != preferred {
            terminal::warning("Port", format!("{preferred} of {what} is taken; using {}", address.port()));
        }
        Ok(address)
    }
}
