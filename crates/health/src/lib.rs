//! Readiness latches behind grpc.health.v1.
