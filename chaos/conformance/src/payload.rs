//! Bytes in which any loss, repetition or change of order shows.

/// `n` bytes of a xorshift generator (Marsaglia, 2003), the same for each seed.
pub fn payload(seed: u64, n: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..n).map(|_| next()).collect()
}
