//! The inbound stack and the serve loop.
