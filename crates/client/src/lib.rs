//! The outbound stack and the channel.
