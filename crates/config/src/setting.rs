//! The kinds of values that a setting can have.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

/// A kind of value that can be written in a file or a variable.
pub trait Setting: Sized {
    /// What a value must look like, to follow "must be".
    const KIND: &'static str;
    /// Whether the value must not be shown.
    const SECRET: bool = false;
    /// Reads a value.
    fn parse(text: &str) -> Option<Self>;
}

macro_rules! parsed {
    ($($kind:ty: $description:literal),* $(,)?) => {$(
        impl Setting for $kind {
            const KIND: &'static str = $description;
            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }
        }
    )*};
}

parsed! {
    bool: "true or false",
    u16: "a whole number from 0 to 65535",
    u32: "a whole number from 0 to 4294967295",
    u64: "a whole number",
    usize: "a whole number",
    f64: "a number",
    String: "text",
    PathBuf: "a path",
    SocketAddr: "an address such as 127.0.0.1:50051",
}

/// What is longer is no duration that anybody waits for, and some would be later than a clock can tell.
const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Setting for Duration {
    const KIND: &'static str = "a duration such as 250ms, 10s or 5min, of 100 years at most";
    fn parse(text: &str) -> Option<Self> {
        humantime::parse_duration(text.trim()).ok().filter(|duration| *duration <= DURATION_MAX)
    }
}

impl Setting for SecretString {
    const KIND: &'static str = "text";
    const SECRET: bool = true;
    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// Empty means off.
impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;
    fn parse(text: &str) -> Option<Self> {
        if text.trim().is_empty() { Some(None) } else { T::parse(text).map(Some) }
    }
}
