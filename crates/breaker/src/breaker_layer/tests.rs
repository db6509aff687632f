//! The layer under a paused clock.
