//! Registers that a unit is programmed through (VT-d 4.1, 11.4), by their offset in bytes, and their bits.

/// Global Command, 32 bits. Written whole: what is on must be written as on (11.4.4.1).
pub const GCMD: usize = 0x18;
/// Global Status, 32 bits.
pub const GSTS: usize = 0x1c;
/// Root Table Address, 64 bits.
pub const RTADDR: usize = 0x20;
/// Fault Status, 32 bits.
pub const FSTS: usize = 0x34;
/// Fault Event Control, 32 bits.
pub const FECTL: usize = 0x38;
/// Fault Event Data, 32 bits.
pub const FEDATA: usize = 0x3c;
/// Fault Event Address, 32 bits, and the upper half at the next.
pub const FEADDR: usize = 0x40;
/// Fault Event Upper Address, 32 bits.
pub const FEUADDR: usize = 0x44;
/// Protected Memory Enable, 32 bits.
pub const PMEN: usize = 0x64;
/// Invalidation Queue Head, 64 bits.
pub const IQH: usize = 0x80;
/// Invalidation Queue Tail, 64 bits.
pub const IQT: usize = 0x88;
/// Invalidation Queue Address, 64 bits; its low three bits say how many pages, as a power of two.
pub const IQA: usize = 0x90;
/// Interrupt Remapping Table Address, 64 bits.
pub const IRTA: usize = 0xb8;

/// `GCMD.TE`, `GSTS.TES`: translation.
pub const TRANSLATION: u32 = 1 << 31;
/// `GCMD.SRTP`, `GSTS.RTPS`: the root table's address is taken over.
pub const ROOT_POINTER: u32 = 1 << 30;
/// `GCMD.WBF`, `GSTS.WBFS`: buffers are flushed.
pub const WRITE_BUFFER: u32 = 1 << 27;
/// `GCMD.QIE`, `GSTS.QIES`: the invalidation queue.
pub const QUEUE: u32 = 1 << 26;
/// `GCMD.IRE`, `GSTS.IRES`: interrupt remapping.
pub const INTERRUPTS: u32 = 1 << 25;
/// `GCMD.SIRTP`, `GSTS.IRTPS`: the interrupt table's address is taken over.
pub const INTERRUPT_POINTER: u32 = 1 << 24;
/// `GCMD.CFI`, `GSTS.CFIS`: messages in compatibility format pass. Never set here.
pub const COMPATIBILITY: u32 = 1 << 23;
/// Bits of `GSTS` that `GCMD` must repeat; the others of it are one-time commands (11.4.4.1).
pub const STANDING: u32 = TRANSLATION | QUEUE | INTERRUPTS | COMPATIBILITY;

/// `FECTL.IM`: no fault interrupt.
pub const FAULT_MASKED: u32 = 1 << 31;
/// `IRTA.EIME`: destinations have 32 bits.
pub const EXTENDED_DESTINATIONS: u64 = 1 << 11;

/// How wide the APIC ids are that interrupts are sent to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ApicIds {
    /// 8 bits: xAPIC.
    Bits8,
    /// 32 bits: x2APIC.
    Bits32,
}

/// What `IRTA` holds for a table of 2^`order` entries, 1 to 16 (11.4.20); `None` for another order or a bad address.
pub const fn interrupt_table(address: u64, order: u8, ids: ApicIds) -> Option<u64> {
    if order == 0 || order > 16 || !address.is_multiple_of(4096) || address >> 52 != 0 {
        return None;
    }
    let mode = match ids {
        ApicIds::Bits8 => 0,
        ApicIds::Bits32 => EXTENDED_DESTINATIONS,
    };
    Some(address | mode | (order - 1) as u64)
}
