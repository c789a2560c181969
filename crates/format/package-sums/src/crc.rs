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

/// The CRC-32 of `bytes`.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let at = |step: usize, byte: u8| TABLES[step][usize::from(byte)];
    let (steps, rest) = bytes.as_chunks::<STEP>();
    let mut sum = u32::MAX;
    for &[a, b, c, d, e, f, g, h] in steps {
        let [s, t, u, v] = sum.to_le_bytes();
        sum = at(7, a ^ s) ^ at(6, b ^ t) ^ at(5, c ^ u) ^ at(4, d ^ v);
        sum ^= at(3, e) ^ at(2, f) ^ at(1, g) ^ at(0, h);
    }
    for byte in rest {
        sum = sum >> 8 ^ at(0, *byte ^ sum as u8);
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::crc32;

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
}
