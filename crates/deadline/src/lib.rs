//! Deadlines: parsed, enforced, shrunk and forwarded as grpc-timeout.
