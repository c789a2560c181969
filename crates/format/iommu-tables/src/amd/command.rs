//! Commands of the command buffer (AMD 3.08, 2.4).

use crate::{DomainId, PAGE_BYTES};

/// What the unit is to forget, or to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// When everything before is done, `data` is written to `address`, a multiple of eight (2.4.1).
    Wait {
        /// Where to, physical.
        address: u64,
        /// What.
        data: u64,
    },
    /// The device table entry of one function (2.4.2).
    Device(u16),
    /// The translations of a naturally aligned block of 2^`order` pages of a domain, tables included (2.4.3).
    Pages {
        /// The domain.
        domain: DomainId,
        /// Any address in the block.
        iova: u64,
        /// Count, as a power of two.
        order: u8,
    },
    /// Every translation of a domain (2.4.3 with the largest size).
    Domain(DomainId),
    /// A function's interrupt table (2.4.5).
    Interrupts(u16),
    /// Everything (2.4.8), where the unit knows the command (`Extended Features.IASup`).
    All,
}

const STORE: u64 = 1;
/// `PDE`: entries that lead to tables, too.
const TABLES: u64 = 1 << 1;
/// `S`: the address says how long the block is.
const SIZED: u64 = 1;
const LARGEST: u64 = 0x7fff_ffff_ffff_f000;

const fn opcode(number: u64) -> u64 {
    number << 60
}

impl Command {
    /// Returns both words, the low one first.
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::Wait { address, data } => {
                [opcode(1) | address & 0x000f_ffff_ffff_fff8 | STORE, data]
            }
            Self::Device(source) => [opcode(2) | source as u64, 0],
            Self::Pages {
                domain,
                iova,
                order,
            } => [
                opcode(3) | (domain.get() as u64) << 32,
                block(iova, order) | TABLES,
            ],
            Self::Domain(domain) => [
                opcode(3) | (domain.get() as u64) << 32,
                LARGEST | TABLES | SIZED,
            ],
            Self::Interrupts(source) => [opcode(5) | source as u64, 0],
            Self::All => [opcode(8), 0],
        }
    }
}

/// The address of a block: its lowest clear bit from bit 12 on is half of its length (2.2.3, table 14).
const fn block(iova: u64, order: u8) -> u64 {
    if order == 0 {
        return iova & !(PAGE_BYTES - 1);
    }
    if order >= 51 {
        return LARGEST | SIZED;
    }
    let half = PAGE_BYTES << (order - 1);
    let below = half - PAGE_BYTES;
    iova & !(half * 2 - 1) | below | SIZED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let domain = DomainId::new(7).unwrap();
        let pages = |iova, order| Command::Pages {
            domain,
            iova,
            order,
        };
        let all = [
            (
                Command::Wait {
                    address: 0x1_2348,
                    data: 0x77,
                },
                [0x1000_0000_0001_2349, 0x77],
            ),
            (Command::Device(0x20), [0x2000_0000_0000_0020, 0]),
            (pages(0x20_0fff, 0), [0x3000_0007_0000_0000, 0x20_0002]),
            (pages(0x20_3000, 1), [0x3000_0007_0000_0000, 0x20_2003]),
            (pages(0x20_3000, 2), [0x3000_0007_0000_0000, 0x20_1003]),
            (pages(0x20_3000, 9), [0x3000_0007_0000_0000, 0x2f_f003]),
            (
                Command::Domain(domain),
                [0x3000_0007_0000_0000, 0x7fff_ffff_ffff_f003],
            ),
            (Command::Interrupts(0xa0), [0x5000_0000_0000_00a0, 0]),
            (Command::All, [0x8000_0000_0000_0000, 0]),
        ];
        for (one, words) in all {
            assert_eq!(one.words(), words, "{one:?}");
        }
    }

    #[test]
    fn a_block_is_as_long_as_its_address_says() {
        for order in 1..51u8 {
            let address = block(0, order) & !(PAGE_BYTES - 1);
            let lowest_clear = (!(address | (PAGE_BYTES - 1))).trailing_zeros();
            assert_eq!(1u64 << (lowest_clear + 1), PAGE_BYTES << order);
        }
    }
}
