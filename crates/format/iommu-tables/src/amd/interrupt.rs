//! Interrupt remapping table entries of 32 bits (AMD 3.08, 2.2.5.2).

use crate::vtd::Polarity;

/// How the pin or message that raises it behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Every message.
    Edge,
    /// A level, from an I/O APIC's pin: its end is asked for (`RqEoi`).
    Level,
}

/// One entry: fixed delivery to one processor by its eight-bit id. The message's low data bits are its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptEntry {
    /// The processor.
    pub destination: u8,
    /// The vector there.
    pub vector: u8,
    /// How it behaves.
    pub trigger: Trigger,
}

/// Entries that a message can name, as a power of two: its data has eight bits for a vector and one that tells fixed from
/// arbitrated; with any other bit it is of a kind that no table is asked for (2.2.5.1).
pub const TABLE_ORDER: u8 = 9;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 4;

/// The data of a message that names an entry, or the low bits of an I/O APIC's.
pub const fn message_data(index: u16) -> u32 {
    (index & 0x1ff) as u32
}

/// The entry of an I/O APIC that names an entry, unmasked. Its end of interrupt is told by the number, not the vector.
pub const fn io_apic_entry(index: u16, trigger: Trigger, polarity: Polarity) -> u64 {
    let trigger = match trigger {
        Trigger::Edge => 0,
        Trigger::Level => 1 << 15,
    };
    let polarity = match polarity {
        Polarity::High => 0,
        Polarity::Low => 1 << 13,
    };
    message_data(index) as u64 | trigger | polarity
}

const ENABLED: u32 = 1;
const LEVEL: u32 = 1 << 5;

impl InterruptEntry {
    /// What refuses a message.
    pub const ABSENT: u32 = 0;

    /// Returns the entry.
    pub const fn word(self) -> u32 {
        let trigger = match self.trigger {
            Trigger::Edge => 0,
            Trigger::Level => LEVEL,
        };
        ENABLED | trigger | (self.destination as u32) << 8 | (self.vector as u32) << 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let entry = InterruptEntry {
            destination: 0xa5,
            vector: 0x57,
            trigger: Trigger::Edge,
        };
        assert_eq!(entry.word(), 0x0057_a501);
        let level = InterruptEntry {
            trigger: Trigger::Level,
            ..entry
        };
        assert_eq!(level.word(), 0x0057_a521);
        assert_eq!(io_apic_entry(0x1a5, Trigger::Level, Polarity::Low), 0xa1a5);
        assert_eq!(io_apic_entry(0x3, Trigger::Edge, Polarity::High), 3);
        assert_eq!(message_data(0xffff), 0x1ff);
    }
}
