//! Why bytes are not what they should be.

/// Why a reader took nothing. Which side caused it depends on who wrote the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The bytes end before the structure does.
    Short,
    /// An opcode that is none of [`crate::opcode`]: a driver newer than this crate, or confused.
    Opcode(u32),
    /// A reserved field of the structure is not zero.
    Reserved,
    /// A field has a value that means nothing.
    Value,
    /// The options of a device descriptor run past its end.
    Options,
    /// An option is shorter than what it says.
    OptionLength(u16),
}
