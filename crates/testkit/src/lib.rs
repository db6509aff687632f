//! What tests need: real dependencies, running services, captured traces. Dev-dependency only.
