//! Frames are found as they were sent, wherever their bytes are cut.

use proptest::prelude::*;

use super::*;

/// What a frame is made of.
type Sent = (u8, u8, Vec<u8>);

/// Payloads look like frames, so that none is found in them.
fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let payload =
        (0usize..300).prop_map(|length| b"\0\0\x04\x06\0\0\0\0\x01".iter().copied().cycle().take(length).collect());
    prop::collection::vec((any::<u8>(), any::<u8>(), payload), 0..20)
}

fn bytes_of(preface: &[u8], sent: &[Sent]) -> Vec<u8> {
    let mut bytes = preface.to_vec();
    for (kind, flags, payload) in sent {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        bytes.extend(length);
        bytes.extend([*kind, *flags, 0, 0, 0, 1]);
        bytes.extend(payload);
    }
    bytes
}

/// The bytes in pieces of these lengths, again and again.
fn pieces(mut bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for cut in cuts.iter().cycle() {
        let (piece, rest) = bytes.split_at(bytes.len().min(*cut));
        pieces.push(piece.to_vec());
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    pieces
}

proptest! {
    #[test]
    fn frames_are_found_however_the_stream_is_cut(
        sent in sent(),
        cuts in prop::collection::vec(1usize..40, 1..200),
        is_client in any::<bool>(),
        asked in any::<u8>(),
    ) {
        let (preface, mut frames) = match is_client {
            true => (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], Frames::of_client()),
            false => (&[][..], Frames::of_server()),
        };
        let mut found: Vec<Sent> = Vec::new();
        for piece in pieces(&bytes_of(preface, &sent), &cuts) {
            let mut piece = &piece[..];
            // Payloads are taken of every second kind, and skipped of the others.
            if let (Some(_), Some(last)) = (frames.open(), found.last_mut())
                && last.1 & asked != 0
            {
                last.2.extend(frames.payload(&mut piece));
            }
            while let Some(frame) = frames.next(&mut piece) {
                let payload = if frame.has(asked) { frames.payload(&mut piece).to_vec() } else { Vec::new() };
                found.push((frame.kind, frame.flags, payload));
                prop_assert_eq!(frame.bytes as usize, sent[found.len() - 1].2.len());
            }
            prop_assert!(piece.is_empty());
        }
        let expected: Vec<Sent> = sent
            .into_iter()
            .map(|(kind, flags, payload)| (kind, flags, if flags & asked != 0 { payload } else { Vec::new() }))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert!(frames.is_between());
    }
}

#[test]
fn what_has_not_come_whole_is_open() {
    let bytes =
        bytes_of(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[(kind::HEADERS, 0, vec![0; 5]), (kind::DATA, 0, Vec::new())]);
    let mut frames = Frames::of_client();
    let mut read = |mut bytes: &[u8]| {
        while frames.next(&mut bytes).is_some() {}
        (frames.open(), frames.is_between())
    };
    assert_eq!(read(&bytes[..10]), (Some(kind::SETTINGS), false), "half a preface");
    assert_eq!(read(&bytes[10..24]), (None, true));
    assert_eq!(read(&bytes[24..30]), (None, false), "half a header");
    assert_eq!(read(&bytes[30..34]), (Some(kind::HEADERS), false));
    assert_eq!(read(&bytes[34..38]), (None, true));
    assert_eq!(read(&bytes[38..46]), (None, false));
    assert_eq!(read(&bytes[46..]), (None, true), "a frame without a payload");
}
