//! A hash that is the same in every process and version, unlike that of the standard library:
//! clients have to agree on where a key goes.

/// FNV-1a over the bytes, started with `seed`, then the finalizer of MurmurHash3, because the upper
/// bits of FNV alone are poor for short keys. Not against an enemy who picks the keys.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h = bytes.iter().fold(BASIS ^ mixed(seed), |h, byte| (h ^ u64::from(*byte)).wrapping_mul(PRIME));
    h ^= bytes.len() as u64;
    mixed(h)
}

fn mixed(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}
