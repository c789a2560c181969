//! What a provider submits: one transfer between a segment and the card's memory.

use driver_core::{Direction, Refusal};

use crate::regs;

/// Bytes of a template.
pub const TEMPLATE_BYTES: usize = 8;
/// Opcode: from memory to the card.
pub const TO_CARD: u8 = 1;
/// Opcode: from the card to memory.
pub const FROM_CARD: u8 = 2;

/// A template that was taken apart: opcode (byte 0), zeros (1 to 3), offset in the card's memory (4 to 7, little-endian).
/// How many bytes is not in it: the segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// Where in the card's memory.
    pub offset: u32,
}

impl Transfer {
    /// Takes a template apart.
    ///
    /// # Errors
    /// `TemplateRefused` for another length, opcode, or a bit that must be zero.
    pub fn decode(template: &[u8]) -> Result<Self, Refusal> {
        let [opcode, 0, 0, 0, a, b, c, d] = *template else {
            return Err(Refusal::TemplateRefused);
        };
        let direction = match opcode {
            TO_CARD => Direction::ToDevice,
            FROM_CARD => Direction::FromDevice,
            _ => return Err(Refusal::TemplateRefused),
        };
        Ok(Self {
            direction,
            offset: u32::from_le_bytes([a, b, c, d]),
        })
    }

    /// The template of a transfer.
    #[must_use]
    pub const fn encode(self) -> [u8; TEMPLATE_BYTES] {
        let opcode = match self.direction {
            Direction::ToDevice => TO_CARD,
            Direction::FromDevice => FROM_CARD,
        };
        let [a, b, c, d] = self.offset.to_le_bytes();
        [opcode, 0, 0, 0, a, b, c, d]
    }

    /// Whether `bytes` from the offset on lie in the card's memory.
    #[must_use]
    pub fn fits(self, bytes: u32) -> bool {
        let end = self.offset.checked_add(bytes);
        bytes > 0 && end.is_some_and(|end| end <= regs::CARD_BYTES)
    }
}
