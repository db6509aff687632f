//! What the workspace is deployed with agrees with the code: the Dockerfile, `docker-compose.yml`, and the
//! manifests for Kubernetes, of which each overlay is looked at as kustomize builds it.

mod collector;
mod docker;
mod jobs;
mod network;
mod objects;
mod pods;
mod process;
mod scaling;
mod template;
