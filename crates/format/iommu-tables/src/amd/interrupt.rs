//! Interrupt remapping table entries of 32 bits (AMD 3.08, 2.2.5.2).

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
    }
}
