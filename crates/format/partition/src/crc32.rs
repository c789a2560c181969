//! The CRC-32 of the GPT (reflected polynomial EDB88320, start and final xor all ones), four bits at a time.

/// Remainders of the sixteen nibbles.
const NIBBLES: [u32; 16] = nibbles();

const fn nibbles() -> [u32; 16] {
    let mut table = [0u32; 16];
    let mut n = 0;
    while n < 16 {
        let mut value = n as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 {
                (value >> 1) ^ 0xedb8_8320
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
}

/// A running CRC-32.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Crc32 {
    /// Starts a sum over nothing.
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Adds `bytes` to the sum.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 ^= u32::from(byte);
            for _ in 0..2 {
                self.0 = (self.0 >> 4) ^ NIBBLES[(self.0 & 15) as usize];
            }
        }
    }

    /// Returns the sum of everything added.
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = Crc32::new();
    sum.update(bytes);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn is_the_same_in_pieces() {
        let mut sum = Crc32::new();
        sum.update(b"1234");
        sum.update(b"");
        sum.update(b"56789");
        assert_eq!(sum.finish(), 0xcbf4_3926);
    }
}
