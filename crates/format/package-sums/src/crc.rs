//! CRC-32 as Ethernet, zip and GPT have it (ISO 3309; polynomial 0x04C11DB7, reflected), eight bytes at a step.

/// Bytes of a step.
const STEP: usize = 8;
static TABLES: [[u32; 256]; STEP] = tables();

const fn tables() -> [[u32; 256]; STEP] {
    let mut tables = [[0; 256]; STEP];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut step = 1;
    while step < STEP {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[step - 1][byte];
            tables[step][byte] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        step += 1;
    }
    tables
}

/// Bytes between two calls of what [`crc32_in_steps`] is given: some ten thousand instructions.
const STRETCH: usize = 2048;

/// The CRC-32 of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    !add(u32::MAX, bytes)
}

/// As [`crc32`]; `step` is called after every 2 KiB, for who may not be busy for long.
pub(crate) fn crc32_in_steps(bytes: &[u8], step: &mut impl FnMut()) -> u32 {
    let mut sum = u32::MAX;
    for part in bytes.chunks(STRETCH) {
        sum = add(sum, part);
        step();
    }
    !sum
}

/// The register after `bytes` behind what gave `sum`.
fn add(mut sum: u32, bytes: &[u8]) -> u32 {
    let at = |step: usize, byte: u8| TABLES[step][usize::from(byte)];
    let (steps, rest) = bytes.as_chunks::<STEP>();
    for &[a, b, c, d, e, f, g, h] in steps {
        let [s, t, u, v] = sum.to_le_bytes();
        sum = at(7, a ^ s) ^ at(6, b ^ t) ^ at(5, c ^ u) ^ at(4, d ^ v);
        sum ^= at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h);
    }
    for byte in rest {
        sum = sum >> 8 ^ at(0, *byte ^ sum as u8);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{STRETCH, crc32, crc32_in_steps};

    /// The check value of the catalogue of CRCs, and sums of every length around a step, bit by bit.
    #[test]
    fn sums_are_the_known_ones() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
        let bytes: [u8; 40] = core::array::from_fn(|at| (at * 37) as u8);
        for len in 0..bytes.len() {
            let mut sum = u32::MAX;
            for byte in &bytes[..len] {
                sum ^= u32::from(*byte);
                for _ in 0..8 {
                    sum = sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
                }
            }
            assert_eq!(crc32(&bytes[..len]), !sum, "{len} bytes");
        }
    }

    #[test]
    fn steps_change_nothing_and_are_short() {
        let bytes: std::vec::Vec<u8> = (0..5 * STRETCH + 7).map(|at| (at * 37) as u8).collect();
        for len in [0, 1, STRETCH - 1, STRETCH, STRETCH + 1, bytes.len()] {
            let mut steps = 0;
            let sum = crc32_in_steps(&bytes[..len], &mut || steps += 1);
            assert_eq!(sum, crc32(&bytes[..len]), "{len} bytes");
            assert_eq!(steps, len.div_ceil(STRETCH));
        }
    }
}
