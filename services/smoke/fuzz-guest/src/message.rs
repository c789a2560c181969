//! Messages of the right shape with values that are not: built from the schema's table, sometimes broken afterwards.

use sdk::schema::methods::{Field, Kind, Shape};

use crate::pool;
use crate::random::Random;

/// Words of the longest message.
pub const WORDS: usize = 448;
/// The kind of a pointer that stands for a capability.
const CAPABILITY: u64 = 3;
/// The most elements of a list.
const ELEMENTS: u64 = 5;
/// What texts say when they mean something: programs, drivers, roles, names.
const TEXTS: &[&str] = &[
    "",
    "fuzz-guest",
    "leaf",
    "edu",
    "nvme",
    "virtio-blk",
    "virtio-net",
    "virtio-rng",
    "kernel",
    "init",
    "vm",
    "endpoint",
    "a",
    "x/../y",
    "init\n",
];

/// A message in the making.
pub struct Message {
    words: [u64; WORDS],
    used: usize,
    /// Capabilities that were named so far.
    caps: u64,
    texts: Texts,
}

/// What stands in texts and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Texts {
    /// Anything.
    Any,
    /// Lower-case letters that end a line: what a person's terminal, and whoever reads the serial line, can bear.
    Lines,
}

impl Message {
    /// A message of this shape.
    pub fn new(random: &mut Random, shape: &Shape, texts: Texts) -> Self {
        let mut own = Self {
            words: [0; WORDS],
            used: 1,
            caps: 0,
            texts,
        };
        own.structure(random, 0, shape, 0);
        if texts == Texts::Any && random.one_in(24) {
            let at = random.index(own.used);
            own.words[at] ^= match random.below(3) {
                0 => random.next(),
                1 => 1 << random.below(64),
                _ => 0xffff_ffff << random.below(33),
            };
        }
        own
    }

    fn is_plain(&self) -> bool {
        self.texts == Texts::Lines
    }

    /// What it is so far.
    pub fn words(&self) -> &[u64] {
        &self.words[..self.used]
    }

    /// The data section of the root: the parameters that travel in registers.
    pub fn data(&self, shape: &Shape) -> [u64; 4] {
        let mut data = [0; 4];
        for (at, word) in data.iter_mut().enumerate().take(shape.data_words.into()) {
            *word = self.words[1 + at];
        }
        data
    }

    /// Sets a word of the root's data.
    pub fn set_data(&mut self, at: usize, value: u64) {
        self.words[1 + at] = value;
    }

    fn take(&mut self, words: usize) -> Option<usize> {
        let at = self.used;
        (at + words <= WORDS).then(|| self.used += words)?;
        Some(at)
    }

    fn structure(&mut self, random: &mut Random, slot: usize, shape: &Shape, depth: u8) {
        let (data, pointers) = (usize::from(shape.data_words), usize::from(shape.pointers));
        let Some(at) = self.take(data + pointers) else {
            return;
        };
        let sections = (data as u64) << 32 | (pointers as u64) << 48;
        self.words[slot] = match data + pointers {
            0 => 0xffff_fffc,
            _ => offset(slot, at) | sections,
        };
        self.fill(random, at, shape, depth);
    }

    fn fill(&mut self, random: &mut Random, at: usize, shape: &Shape, depth: u8) {
        for field in shape.fields {
            self.field(random, at, at + usize::from(shape.data_words), field, depth);
        }
    }

    fn field(
        &mut self,
        random: &mut Random,
        data: usize,
        pointers: usize,
        field: &Field,
        depth: u8,
    ) {
        let slot = pointers + field.offset as usize;
        match field.kind {
            Kind::Bool => self.bits(data, field.offset, 1, random.next()),
            Kind::Int(bits) => self.bits(data, field.offset, bits, number(random, bits)),
            Kind::Enum(count) => {
                let end = u64::from(count) + u64::from(random.one_in(16));
                let value = random.below(end);
                self.bits(data, field.offset, 16, value);
            }
            Kind::Text => self.text(random, slot),
            Kind::Data => self.bytes(random, slot),
            Kind::TextList => self.list(random, slot, None, depth),
            Kind::Numbers(bits) => self.numbers(random, slot, bits),
            Kind::Struct(shape) => self.structure(random, slot, shape, depth + 1),
            Kind::StructList(shape) => self.list(random, slot, Some(shape), depth),
            // It travels beside the message, which says where among those it stands: in the order of the fields.
            Kind::Cap(_) => {
                if let Some(word) = self.words.get_mut(slot) {
                    *word = self.caps << 32 | CAPABILITY;
                    self.caps += 1;
                }
            }
        }
    }

    fn bits(&mut self, data: usize, offset: u32, bits: u8, value: u64) {
        let bit = offset as usize * usize::from(bits);
        let mask = u64::MAX >> (64 - u32::from(bits));
        if let Some(word) = self.words.get_mut(data + bit / 64) {
            *word |= (value & mask) << (bit % 64);
        }
    }

    /// A pointer to `count` bytes, and their place.
    fn room(&mut self, slot: usize, count: usize) -> Option<usize> {
        let at = self.take(count.div_ceil(8))?;
        self.words[slot] = offset(slot, at) | 1 | (2 | (count as u64) << 3) << 32;
        Some(at)
    }

    fn put(&mut self, at: usize, bytes: impl Iterator<Item = u8>) {
        for (byte, value) in bytes.enumerate() {
            self.words[at + byte / 8] |= u64::from(value) << (byte % 8 * 8);
        }
    }

    fn text(&mut self, random: &mut Random, slot: usize) {
        let known = TEXTS[random.index(TEXTS.len())];
        if self.is_plain() || random.one_in(4) {
            return self.bytes(random, slot);
        }
        // Its zero byte counts.
        if let Some(at) = self.room(slot, known.len() + 1) {
            self.put(at, known.bytes());
        }
    }

    fn bytes(&mut self, random: &mut Random, slot: usize) {
        let most = [1, 8, 48, 640][random.index(4)];
        let count = 1 + random.index(most);
        let Some(at) = self.room(slot, count + 1) else {
            return;
        };
        let letters = self.is_plain() || random.one_in(2);
        for byte in 0..count {
            let value = match letters {
                true if byte + 1 == count && self.is_plain() => b'\n',
                true => b'a' + random.below(26) as u8,
                false => random.next() as u8,
            };
            self.put_one(at, byte, value);
        }
    }

    fn put_one(&mut self, at: usize, byte: usize, value: u8) {
        self.words[at + byte / 8] |= u64::from(value) << (byte % 8 * 8);
    }

    /// A list of integers of `bits` bits.
    fn numbers(&mut self, random: &mut Random, slot: usize, bits: u8) {
        let bytes = usize::from(bits) / 8;
        let count = random.below(ELEMENTS) as usize;
        let Some(at) = self.take((count * bytes).div_ceil(8)) else {
            return;
        };
        // How Cap'n Proto numbers the sizes of elements: 2 for a byte, 5 for eight.
        let size = 2 + u64::from(bytes.trailing_zeros());
        self.words[slot] = offset(slot, at) | 1 | (size | (count as u64) << 3) << 32;
        for index in 0..count {
            let value = number(random, bits).to_le_bytes();
            for (byte, value) in value.iter().take(bytes).enumerate() {
                self.put_one(at, index * bytes + byte, *value);
            }
        }
    }

    /// A list of structs, or of texts.
    fn list(&mut self, random: &mut Random, slot: usize, shape: Option<&Shape>, depth: u8) {
        let count = if depth > 2 {
            0
        } else {
            random.below(ELEMENTS) as usize
        };
        let Some(shape) = shape else {
            let Some(at) = self.take(count) else { return };
            self.words[slot] = offset(slot, at) | 1 | (6 | (count as u64) << 3) << 32;
            (at..at + count).for_each(|slot| self.text(random, slot));
            return;
        };
        let (data, pointers) = (usize::from(shape.data_words), usize::from(shape.pointers));
        let Some(at) = self.take(1 + count * (data + pointers)) else {
            return;
        };
        let words = (count * (data + pointers)) as u64;
        self.words[slot] = offset(slot, at) | 1 | (7 | words << 3) << 32;
        self.words[at] = (count as u64) << 2 | (data as u64) << 32 | (pointers as u64) << 48;
        for element in 0..count {
            self.fill(
                random,
                at + 1 + element * (data + pointers),
                shape,
                depth + 1,
            );
        }
    }
}

/// The offset that a pointer at `slot` needs to name `target`.
fn offset(slot: usize, target: usize) -> u64 {
    (((target - slot - 1) as u64) << 2) & 0xffff_ffff
}

/// A number that somebody may have forgotten to check.
pub fn number(random: &mut Random, bits: u8) -> u64 {
    match random.below(8) {
        0 | 1 => random.below(4),
        2 => random.below(64),
        3 | 4 => pool::noted(random),
        5 => {
            let most = if random.one_in(16) { 1 << 20 } else { 12 };
            4096 * random.below(most)
        }
        6 => {
            let power = 1_u64 << random.below(bits.into());
            power.wrapping_add(random.below(3)).wrapping_sub(1)
        }
        _ if random.one_in(2) => u64::MAX >> random.below(3),
        _ => random.next(),
    }
}
