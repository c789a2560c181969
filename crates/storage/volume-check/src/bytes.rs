//! Numbers, sums and pointers, as the page has them.

use alloc::format;
use alloc::vec::Vec;

use crate::{BLOCK, Disk, Walk};

/// A little-endian number of up to eight bytes.
pub fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let field = bytes.get(at..at + len).unwrap_or(&[]);
    field
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A big-endian number of eight bytes.
pub fn big(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..at + 8).unwrap_or(&[]);
    field
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Whether these bytes are zero.
pub fn zero(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes
        .get(from..to)
        .is_some_and(|field| field.iter().all(|byte| *byte == 0))
}

/// Carries a register of CRC-32C over one byte.
fn step(register: u32, byte: u8) -> u32 {
    register >> 8 ^ BYTES[usize::from(register as u8 ^ byte)]
}

/// What a byte that leaves the register does to it.
static BYTES: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut register = index as u32;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 {
                register >> 1 ^ 0x82f6_3b78
            } else {
                register >> 1
            };
            bit += 1;
        }
        table[index] = register;
        index += 1;
    }
    table
};

/// What a sum begins from, without the UUID.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    pub lba: u64,
    pub birth: u64,
    pub mount: u64,
    pub owner: u64,
    pub position: u64,
}

/// The owners that are no inodes.
pub const LABEL: u64 = u64::MAX;
pub const ROOT: u64 = u64::MAX - 1;
pub const TREE: u64 = u64::MAX - 2;
pub const SPACE: u64 = u64::MAX - 3;

/// The sum of some bytes.
pub fn sum(uuid: &[u8; 16], seed: Seed, data: &[u8]) -> u64 {
    let mut even = u32::MAX;
    let fields = [seed.lba, seed.birth, seed.mount, seed.owner, seed.position];
    for byte in uuid
        .iter()
        .copied()
        .chain(fields.iter().flat_map(|field| field.to_le_bytes()))
    {
        even = step(even, byte);
    }
    let mut lanes = [even, !even];
    let whole = data.len() / 16 * 2;
    for (index, word) in data.chunks(8).enumerate() {
        let lane = if index < whole { index % 2 } else { 0 };
        lanes[lane] = word
            .iter()
            .fold(lanes[lane], |register, byte| step(register, *byte));
    }
    u64::from(!lanes[0]) | u64::from(!lanes[1]) << 32
}

/// A pointer's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    pub lba: u64,
    pub birth: u64,
    pub sum: u64,
    pub mount: u64,
}

/// The kinds of pointers.
pub const NODE: u64 = 1;
pub const DATA: u64 = 2;
pub const TABLE: u64 = 3;
pub const BITMAP: u64 = 4;

/// Takes a pointer apart, or nothing if it breaks a rule of the page.
pub fn pointer(bytes: &[u8], kind: u64, blocks: u64, newest: u64) -> Option<Pointer> {
    let pointer = Pointer {
        lba: number(bytes, 0, 6),
        birth: number(bytes, 8, 8),
        sum: number(bytes, 16, 8),
        mount: number(bytes, 32, 4),
    };
    let is_sound = bytes.len() == 40
        && number(bytes, 6, 2) == 1
        && zero(bytes, 24, 32)
        && number(bytes, 36, 1) == kind
        && zero(bytes, 37, 40)
        && pointer.lba >= 65
        && pointer.lba < blocks.saturating_sub(65)
        && pointer.birth >= 1
        && pointer.birth <= newest;
    is_sound.then_some(pointer)
}

impl<D: Disk> Walk<'_, D> {
    /// Reads what a pointer leads to and compares the sum; reports what is wrong.
    pub fn fetch(&mut self, pointer: &Pointer, owner: u64, position: u64) -> Option<Vec<u8>> {
        let block = self.quietly(pointer, owner, position);
        if block.is_none() {
            let what = match owner {
                TREE => "a node",
                SPACE => "a table or bitmap",
                _ => "data",
            };
            let text = format!("{what} does not add up (owner {owner}, position {position})");
            self.report.say(pointer.lba, text);
        }
        block
    }

    /// The same, and reports nothing.
    pub fn quietly(&mut self, pointer: &Pointer, owner: u64, position: u64) -> Option<Vec<u8>> {
        let mut block = alloc::vec![0; BLOCK];
        if !self.disk.read(pointer.lba, &mut block) {
            return None;
        }
        let seed = Seed {
            lba: pointer.lba,
            birth: pointer.birth,
            mount: pointer.mount,
            owner,
            position,
        };
        (sum(&self.uuid, seed, &block) == pointer.sum).then_some(block)
    }
}
