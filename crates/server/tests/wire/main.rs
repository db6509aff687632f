//! What a server does on the wire, seen through the frames that it sends.

mod broken_off;
mod conduct;
mod harness;
mod peers;
mod places;
mod stalls;
