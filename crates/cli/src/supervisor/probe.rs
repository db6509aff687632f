//! Asks a service for its health, by `grpc.health.v1`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use seawall_auth::tls::Connector;
use tokio::net::TcpStream;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

/// A service that takes longer to answer is not serving.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The trace that our questions belong to: one that is not recorded, so that traces are those of users.
const UNRECORDED_TRACE: &str = "00-5ea3a11000000000000000000000beef-5ea3a1100000beef-00";

/// A connection to one service; it connects when it is first used and again when it was lost.
#[derive(Debug)]
pub(crate) struct Probe {
    client: HealthClient<Channel>,
}

impl Probe {
    /// Over TLS, if there is a connector.
    pub(crate) fn new(address: SocketAddr, tls: Option<Connector>) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(TIMEOUT).timeout(TIMEOUT);
        let channel = match tls {
            None => endpoint.connect_lazy(),
            Some(tls) => endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
                let tls = tls.clone();
                async move {
                    let io = TcpStream::connect(address).await?;
                    Ok::<_, io::Error>(TokioIo::new(tls.connect(io, &address.ip().to_string()).await?))
                }
            })),
        };
        Ok(Self { client: HealthClient::new(channel) })
    }

    /// Whether the service as a whole says SERVING. Cancel-safe.
    pub(crate) async fn is_serving(&mut self) -> bool {
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.metadata_mut().insert("traceparent", MetadataValue::from_static(UNRECORDED_TRACE));
        match tokio::time::timeout(TIMEOUT, self.client.check(request)).await {
            Ok(Ok(response)) => response.get_ref().status() == ServingStatus::Serving,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}
