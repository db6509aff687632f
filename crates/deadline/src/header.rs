//! The `grpc-timeout` header: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").

use std::time::Duration;

use http::HeaderValue;

/// The name of the header.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

const DIGITS_MAX: usize = 8;
const VALUE_MAX: u128 = 99_999_999;
/// Each unit with its length in nanoseconds, finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// The header is not one to eight digits and one of `H M S m u n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedTimeout;

/// Reads the header's value.
pub fn parse_timeout(value: &[u8]) -> Result<Duration, MalformedTimeout> {
    let (unit, digits) = value.split_last().ok_or(MalformedTimeout)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return Err(MalformedTimeout);
    }
    let (_, unit_ns) = UNITS.iter().find(|(letter, _)| letter == unit).ok_or(MalformedTimeout)?;
    let count = digits.iter().fold(0, |count: u64, digit| count * 10 + u64::from(digit - b'0'));
    // Eight digits of hours are 3.6e20 ns: too many for 64 bits, so seconds and nanoseconds apart.
    let total_ns = u128::from(count) * unit_ns;
    let seconds = u64::try_from(total_ns / 1_000_000_000).map_err(|_| MalformedTimeout)?;
    let rest_ns = u32::try_from(total_ns % 1_000_000_000).map_err(|_| MalformedTimeout)?;
    Ok(Duration::new(seconds, rest_ns))
}

/// Writes a timeout in the finest unit that fits, rounded down so that the peer never has more time
/// than there is.
pub fn format_timeout(timeout: Duration) -> HeaderValue {
    let total_ns = timeout.as_nanos();
    let (letter, unit_ns) = UNITS.into_iter().find(|(_, unit_ns)| total_ns / unit_ns <= VALUE_MAX).unwrap_or(UNITS[5]);
    let count = (total_ns / unit_ns).min(VALUE_MAX);
    let mut text = [0; DIGITS_MAX + 1];
    text[DIGITS_MAX] = letter;
    let mut start = DIGITS_MAX;
    let mut left = count;
    loop {
        start -= 1;
        text[start] = b'0' + u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
        if left == 0 {
            break;
        }
    }
    let mut value = HeaderValue::from_bytes(&text[start..]).unwrap_or(HeaderValue::from_static("0n"));
    // Never the same twice: in HPACK's table it would be of no use, and displace what is.
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_unit_and_refuses_the_rest() {
        let good =
            [("1H", 3600.0), ("2M", 120.0), ("15S", 15.0), ("250m", 0.25), ("7u", 7e-6), ("99999999n", 0.099_999_999)];
        for (text, seconds) in good {
            assert_eq!(parse_timeout(text.as_bytes()), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "m", "12", "12x", "123456789m", "-1S", "+1S", " 1S", "1 S", "1.5S", "١S"] {
            assert_eq!(parse_timeout(text.as_bytes()), Err(MalformedTimeout), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_no_more_and_nearly_the_same(ns in 0..u64::MAX) {
            let timeout = Duration::from_nanos(ns);
            let read = parse_timeout(format_timeout(timeout).as_bytes()).unwrap();
            prop_assert!(read <= timeout);
            prop_assert!(timeout.as_secs_f64() - read.as_secs_f64() <= timeout.as_secs_f64() * 1e-5);
        }

        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = parse_timeout(&bytes);
        }
    }
}
