//! Seawall's policies beside those of `tower-resilience` and `failsafe`: what a call costs, and what
//! happens. Prints tables in markdown; `bench/README.md` has those of one run, and says how to read them.

mod allocations;
mod breakers;
mod clock;
mod cost;
mod grpc;
mod guard;
mod overload;
mod rates;
mod retries;
mod table;

fn main() {
    allocations::keep_blocks_at_hand();
    // Before any clock is paused, which tokio remembers and which makes its clock dearer to read.
    cost::run();
    clock::check();
    retries::run();
    overload::run();
    rates::run();
    breakers::run();
}
