//! CRC-32C as ext4 has it: a register that is carried on, begun from ones and not inverted at the end.

/// The reflected polynomial (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let low = register & 1;
            register >>= 1;
            if low == 1 {
                register ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
}

/// Carries a register over some bytes.
pub(crate) fn carry(register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, byte| {
        (register >> 8) ^ TABLE[(register ^ u32::from(*byte)) as usize & 0xff]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(!super::carry(!0, b"123456789"), 0xe306_9283);
    }
}
