//! Registers of the device (QEMU, `docs/specs/edu`), as offsets into BAR 0. Those below 0x80 are 4 bytes wide.

/// Identification: 0x010000ed.
pub const ID: u64 = 0x00;
/// What is written here reads back inverted.
pub const LIVENESS: u64 = 0x04;
/// A number goes in, its factorial comes out once [`STATUS_COMPUTING`] is clear.
pub const FACTORIAL: u64 = 0x08;
/// What goes on.
pub const STATUS: u64 = 0x20;
/// Causes of the interrupt; 0 for none.
pub const CAUSES: u64 = 0x24;
/// Adds causes, and so raises the interrupt.
pub const RAISE: u64 = 0x60;
/// Takes causes away.
pub const ACKNOWLEDGE: u64 = 0x64;
/// DMA: where from. 8 bytes, as are the next three.
pub const DMA_SOURCE: u64 = 0x80;
/// DMA: where to.
pub const DMA_TARGET: u64 = 0x88;
/// DMA: bytes.
pub const DMA_COUNT: u64 = 0x90;
/// DMA: what to do.
pub const DMA_COMMAND: u64 = 0x98;
/// The card's own memory, as the DMA engine counts.
pub const CARD_MEMORY: u64 = 0x4_0000;
/// Bytes of BAR 0.
pub const BAR_BYTES: u64 = 1 << 20;

/// The low half of [`ID`], which does not change with the version.
pub const ID_LOW: u32 = 0x00ed;
/// [`STATUS`]: a factorial is being computed.
pub const STATUS_COMPUTING: u32 = 1;
/// [`STATUS`]: raise the interrupt, with this cause as 1, when it is computed.
pub const STATUS_INTERRUPT: u32 = 0x80;
/// [`DMA_COMMAND`]: go; reads as 1 until the transfer has ended.
pub const DMA_RUN: u64 = 1;
/// [`DMA_COMMAND`]: from the card to memory, else from memory to the card.
pub const DMA_TO_MEMORY: u64 = 2;
/// [`DMA_COMMAND`]: raise the interrupt, with cause 0x100, at the end.
pub const DMA_INTERRUPT: u64 = 4;
/// Bits of an address that the DMA engine has.
pub const DMA_ADDRESS_BITS: u32 = 28;
/// The most bytes from the start of the card's memory that a transfer may reach. There are 4096, but devices of some
/// versions count the last one as outside.
pub const CARD_BYTES: u32 = 4095;
