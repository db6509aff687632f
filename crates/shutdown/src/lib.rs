//! Signals, and a drain that always ends.
