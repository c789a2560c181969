//! Interrupt remapping (VT-d 4.1, 5.1 and 9.10): entries, and messages that name one.

/// Where an interrupt goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A local APIC by eight bits (`IRTA.EIME` clear): the id lies in the second byte of the field.
    Short(u8),
    /// A local APIC by 32 bits (`IRTA.EIME` set).
    Extended(u32),
}

/// How the pin or message that raises it behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// Every message.
    Edge,
    /// A level, from an I/O APIC's pin.
    Level,
}

/// Which level of a pin means an interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Polarity {
    /// The high one.
    High,
    /// The low one.
    Low,
}

/// Who may raise it: verified in all 16 bits (`SVT` 01, `SQ` 00).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source(pub u16);

/// An entry of the interrupt remapping table (9.10): fixed delivery to one processor, never posted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterruptEntry {
    /// Where it goes.
    pub destination: Destination,
    /// The vector there.
    pub vector: u8,
    /// How it behaves.
    pub trigger: Trigger,
    /// Who may raise it.
    pub source: Source,
}

const PRESENT: u64 = 1;
const LEVEL: u64 = 1 << 4;
/// `SVT`: source id and qualifier are verified.
const VERIFY: u64 = 1 << 18;

impl InterruptEntry {
    /// What drops a message.
    pub const ABSENT: [u64; 2] = [0, 0];

    /// Returns both words, the low one first. The high one is written first, because the low one makes it present.
    pub const fn words(self) -> [u64; 2] {
        let destination = match self.destination {
            Destination::Short(id) => (id as u64) << 8,
            Destination::Extended(id) => id as u64,
        };
        let trigger = match self.trigger {
            Trigger::Edge => 0,
            Trigger::Level => LEVEL,
        };
        let low = PRESENT | trigger | (self.vector as u64) << 16 | destination << 32;
        [low, VERIFY | self.source.0 as u64]
    }
}

/// The number of an entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Handle(pub u16);

/// A message as a device sends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Where it writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
}

/// The message in remappable format that names an entry (5.1.2.2), without a sub-handle: all of a device's vectors have
/// entries, and so messages, of their own.
pub const fn message(handle: Handle) -> Message {
    let low = (handle.0 as u64 & 0x7fff) << 5;
    let high = (handle.0 as u64 >> 15) << 2;
    Message {
        address: 0xfee0_0000 | low | 1 << 4 | high,
        data: 0,
    }
}

/// The entry of an I/O APIC in remappable format that names an entry (5.1.2.1), unmasked. `vector` is the entry's, by
/// which the I/O APIC knows whose end of interrupt it hears.
pub const fn io_apic_entry(
    handle: Handle,
    vector: u8,
    trigger: Trigger,
    polarity: Polarity,
) -> u64 {
    let index = (handle.0 as u64 & 0x7fff) << 49 | (handle.0 as u64 >> 15) << 11;
    let trigger = match trigger {
        Trigger::Edge => 0,
        Trigger::Level => 1 << 15,
    };
    let polarity = match polarity {
        Polarity::High => 0,
        Polarity::Low => 1 << 13,
    };
    index | 1 << 48 | trigger | polarity | vector as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let entry = InterruptEntry {
            destination: Destination::Short(0xa5),
            vector: 0x57,
            trigger: Trigger::Edge,
            source: Source(0x1234),
        };
        assert_eq!(entry.words(), [0x0000_a500_0057_0001, 0x0004_1234]);
        let extended = InterruptEntry {
            destination: Destination::Extended(0x89ab_cdef),
            trigger: Trigger::Level,
            ..entry
        };
        assert_eq!(extended.words(), [0x89ab_cdef_0057_0011, 0x0004_1234]);
    }

    #[test]
    fn a_message_names_its_entry_in_two_pieces() {
        for number in 0..=u16::MAX {
            let Message { address, data } = message(Handle(number));
            let low = address >> 5 & 0x7fff;
            let high = address >> 2 & 1;
            assert_eq!(high << 15 | low, u64::from(number));
            assert_eq!(
                (address >> 20, address >> 4 & 1, address & 0b1011),
                (0xfee, 1, 0)
            );
            assert_eq!(data, 0);
            let pin = io_apic_entry(Handle(number), 0x31, Trigger::Level, Polarity::Low);
            assert_eq!((pin >> 11 & 1) << 15 | pin >> 49, u64::from(number));
            // Format, trigger, polarity, vector; delivery mode and mask are clear.
            assert_eq!(pin & 0x1_ffff_ffff_f7ff, 1 << 48 | 1 << 15 | 1 << 13 | 0x31);
        }
    }
}
