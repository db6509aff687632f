//! The layers around a scripted peer, under a paused clock.

mod hedging;
mod peer;
mod retries;
mod streams;
