//! `grpc-retry-pushback-ms`: the server says when to come back, or not to (gRFC A6).

use std::time::Duration;

use http::HeaderMap;

/// The header that carries it, in a response that is only trailers.
pub const GRPC_RETRY_PUSHBACK_MS: &str = "grpc-retry-pushback-ms";

/// What the server says about another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushback {
    /// Come back after exactly this time.
    After(Duration),
    /// Do not come back.
    Stop,
}

impl Pushback {
    /// What the headers of a response say. What cannot be understood means not to come back, and so
    /// do several values.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(GRPC_RETRY_PUSHBACK_MS).iter();
        let first = values.next()?;
        if values.next().is_some() {
            return Some(Self::Stop);
        }
        Some(parse(first.as_bytes()).map_or(Self::Stop, |ms| Self::After(Duration::from_millis(ms.into()))))
    }
}

/// A signed 32-bit integer in ASCII that is not negative, without a sign or needless zeros.
fn parse(value: &[u8]) -> Option<u32> {
    let is_plain = value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value.first() != Some(&b'0'));
    let text = std::str::from_utf8(value).ok().filter(|_| is_plain)?;
    text.parse::<i32>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Pushback> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(GRPC_RETRY_PUSHBACK_MS, value.parse().unwrap());
        }
        Pushback::read(&headers)
    }

    #[test]
    fn a_number_is_waited_for_and_anything_else_stops() {
        assert_eq!(read(&[]), None);
        for (value, ms) in [("0", 0), ("7", 7), ("1500", 1500), ("2147483647", i32::MAX as u64)] {
            assert_eq!(read(&[value]), Some(Pushback::After(Duration::from_millis(ms))), "{value}");
        }
        for value in ["-1", "-0", "", "+5", "007", "00", "1.5", "2147483648", "5ms", " 5", "99999999999999999999"] {
            assert_eq!(read(&[value]), Some(Pushback::Stop), "{value:?}");
        }
        assert_eq!(read(&["5", "5"]), Some(Pushback::Stop));
    }
}
