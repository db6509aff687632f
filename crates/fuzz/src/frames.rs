//! The frames of HTTP/2 in bytes that pass by.

use seawall_frames::Frames;

/// Frames are those that the lengths say, however the bytes are cut. The first byte is how they are cut,
/// the second which payloads are taken: those of frames that have one of its bits among their flags.
pub(crate) fn frames(bytes: &[u8]) {
    let [cut, taken, bytes @ ..] = bytes else { return };
    assert_eq!(found(bytes, usize::from(*cut).max(1), *taken), model(bytes, *taken));
}

/// A frame: its kind, its flags, its length, and what was taken of its payload.
type Found = (u8, u8, u32, Vec<u8>);

fn found(bytes: &[u8], cut: usize, taken: u8) -> Vec<Found> {
    let (mut frames, mut found) = (Frames::of_server(), Vec::<Found>::new());
    for mut part in bytes.chunks(cut) {
        if let (Some(_), Some(last)) = (frames.open(), found.last_mut())
            && last.1 & taken != 0
        {
            last.3.extend(frames.payload(&mut part));
        }
        while let Some(frame) = frames.next(&mut part) {
            let payload = if frame.has(taken) { frames.payload(&mut part).to_vec() } else { Vec::new() };
            found.push((frame.kind, frame.flags, frame.bytes, payload));
        }
    }
    found
}

/// What there is, read as a whole.
fn model(mut bytes: &[u8], taken: u8) -> Vec<Found> {
    let mut found = Vec::new();
    while let [a, b, c, kind, flags, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]);
        let (payload, rest) = rest.split_at(rest.len().min(length as usize));
        let payload = if flags & taken != 0 { payload.to_vec() } else { Vec::new() };
        found.push((*kind, *flags, length, payload));
        bytes = rest;
    }
    found
}
