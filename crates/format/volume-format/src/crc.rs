//! Sums: CRC-32C in two lanes, begun from what the bytes are, not only from what they say.

/// The reflected polynomial of CRC-32C (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[k][b]`: the register after byte `b` and then `k` zero bytes.
const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
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
        tables[0][byte] = register;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// Carries a register over eight bytes.
fn word(register: u32, word: u64) -> u32 {
    let mixed = word ^ u64::from(register);
    let mut out = 0;
    for (k, table) in TABLES.iter().rev().enumerate() {
        out ^= table[(mixed >> (8 * k)) as usize & 0xff];
    }
    out
}

fn bytes(mut register: u32, data: &[u8]) -> u32 {
    for byte in data {
        register = (register >> 8) ^ TABLES[0][(register ^ u32::from(*byte)) as usize & 0xff];
    }
    register
}

/// The plain CRC-32C of some bytes.
#[must_use]
pub fn crc32c(data: &[u8]) -> u32 {
    !bytes(!0, data)
}

/// What a block is. A block that says the right thing in the wrong place, for another owner or of another time has
/// another sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The volume's identity.
    pub uuid: [u8; 16],
    /// The first block's number.
    pub lba: u64,
    /// The transaction group that wrote it.
    pub birth: u64,
    /// The mount that wrote it.
    pub mount: u32,
    /// Whose it is: a file's number, or a constant of [`Seed`].
    pub owner: u64,
    /// Which part of its owner: a file's block, a level, a region.
    pub position: u64,
}

impl Seed {
    /// The owner of the label.
    pub const LABEL: u64 = u64::MAX;
    /// The owner of roots; the position is the slot.
    pub const ROOT: u64 = u64::MAX - 1;
    /// The owner of the nodes of the tree; the position is the level.
    pub const TREE: u64 = u64::MAX - 2;
    /// The owner of bitmaps and tables; the position is `level << 56 | index`.
    pub const SPACE: u64 = u64::MAX - 3;

    fn register(&self) -> u32 {
        let mut seed = [0u8; 56];
        le::put(&mut seed, 0, &self.uuid);
        le::put(&mut seed, 16, &self.lba.to_le_bytes());
        le::put(&mut seed, 24, &self.birth.to_le_bytes());
        le::put(&mut seed, 32, &self.mount.to_le_bytes());
        le::put(&mut seed, 40, &self.owner.to_le_bytes());
        le::put(&mut seed, 48, &self.position.to_le_bytes());
        bytes(!0, &seed)
    }
}

/// The sum of a block: lane 0 over its even words of eight bytes, lane 1 over its odd ones, each CRC-32C begun from the
/// seed. A rest below 16 bytes goes to lane 0.
#[must_use]
pub fn sum(seed: &Seed, data: &[u8]) -> u64 {
    let mut even = seed.register();
    let mut odd = !even;
    let mut pairs = data.chunks_exact(16);
    for pair in &mut pairs {
        even = word(even, le::u64(pair, 0));
        odd = word(odd, le::u64(pair, 8));
    }
    even = bytes(even, pairs.remainder());
    u64::from(!even) | u64::from(!odd) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_value_comes_out() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn words_and_bytes_agree() {
        let data: [u8; 64] = core::array::from_fn(|index| (index * 37) as u8);
        let by_words = data
            .chunks_exact(8)
            .fold(!0, |register, chunk| word(register, le::u64(chunk, 0)));
        assert_eq!(!by_words, crc32c(&data));
    }

    #[test]
    fn every_part_of_a_seed_counts() {
        let seed = Seed {
            uuid: [7; 16],
            lba: 1,
            birth: 2,
            mount: 3,
            owner: 4,
            position: 5,
        };
        let plain = sum(&seed, &[1; 4096]);
        let others = [
            Seed {
                uuid: [8; 16],
                ..seed
            },
            Seed { lba: 9, ..seed },
            Seed { birth: 9, ..seed },
            Seed { mount: 9, ..seed },
            Seed { owner: 9, ..seed },
            Seed {
                position: 9,
                ..seed
            },
        ];
        for other in others {
            assert_ne!(sum(&other, &[1; 4096]), plain, "{other:?}");
        }
    }
}
