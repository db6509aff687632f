//! The frames of HTTP/2 as an attacker writes them (RFC 9113, RFC 7541): nothing is checked.

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const CONTINUATION: u8 = 0x9;

pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// The largest payload that a peer takes unless it says otherwise.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16_384;
/// What a peer takes of the body of a stream, and of all of them, before it has said more.
pub(crate) const WINDOW_BYTES: usize = 65_535;

/// What a client sends first, before its SETTINGS.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = Vec::with_capacity(9 + payload.len());
    frame.extend(&length[1..]);
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface and SETTINGS with these parameters.
pub(crate) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (key, value) in settings {
        payload.extend(key.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// The headers of a call to `path`: all literals, so that they mean the same wherever they are sent.
pub(crate) fn call(path: &str, further: &[(&str, &str)]) -> Vec<u8> {
    // POST and http, as the static table has them.
    let mut block = vec![0x83, 0x86];
    let fields = [(":path", path), (":authority", "seawall"), ("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in fields.iter().chain(further) {
        block.extend(field(0x00, name, value));
    }
    block
}

/// A field: `0x00` is a literal that is not remembered, `0x40` one that is.
pub(crate) fn field(kind: u8, name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![kind];
    for text in [name, value] {
        field.extend(length(text.len()));
        field.extend(text.as_bytes());
    }
    field
}

/// An integer with a prefix of seven bits.
fn length(mut length: usize) -> Vec<u8> {
    const PREFIX_MAX: usize = 127;
    if length < PREFIX_MAX {
        return vec![length as u8];
    }
    length -= PREFIX_MAX;
    let mut bytes = vec![PREFIX_MAX as u8];
    while length >= 128 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(length as u8);
    bytes
}

/// A message of gRPC that says that it has so many bytes, of which these are the first.
pub(crate) fn message(is_compressed: bool, says: u32, bytes: &[u8]) -> Vec<u8> {
    [&[u8::from(is_compressed)], &says.to_be_bytes()[..], bytes].concat()
}

/// So many bytes of gzip, which decompress to about 160 times as many zeros: a block of deflate (RFC 1951,
/// section 3.2.6) that repeats the byte before 258 times, again and again.
pub(crate) fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // The last block, with fixed codes; the byte 0; then (258 bytes, 1 back) until there is no room.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.push(0b0000_1100, 8);
    while bits.bytes.len() + 16 < bytes {
        bits.push(0b1010_0011, 8);
        bits.push(0, 5);
    }
    bits.push(0, 7);
    bits.push(0, 8);
    // The header of gzip; the check at the end is never reached by who should not read as far.
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], &bits.bytes[..], &[0; 8]].concat()
}

/// Bits, the first of them the lowest.
#[derive(Debug, Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        for at in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((bits >> at & 1) as u8) << (self.used % 8);
            }
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_hpack() {
        assert_eq!(length(10), [10]);
        assert_eq!(length(127), [127, 0]);
        // RFC 7541, section C.1.2, with a prefix of seven bits instead of five.
        assert_eq!(length(1_337), [127, 0xba, 0x09]);
    }

    #[test]
    fn a_frame_begins_with_its_length() {
        assert_eq!(frame(PING, ACK, 0, &[7; 8])[..10], [0, 0, 8, PING, ACK, 0, 0, 0, 0, 7]);
    }
}
