//! Registers that a unit is programmed through (AMD 3.08, 3.4), by their offset in bytes; all have 64 bits.

/// Device Table Base.
pub const DEVICE_TABLE: usize = 0x00;
/// Command Buffer Base.
pub const COMMAND_BASE: usize = 0x08;
/// Event Log Base.
pub const EVENT_BASE: usize = 0x10;
/// Control.
pub const CONTROL: usize = 0x18;
/// Exclusion Base: its bit 0 lets a range pass untranslated.
pub const EXCLUSION: usize = 0x20;
/// Extended Features.
pub const FEATURES: usize = 0x30;
/// Command Buffer Head.
pub const COMMAND_HEAD: usize = 0x2000;
/// Command Buffer Tail.
pub const COMMAND_TAIL: usize = 0x2008;
/// Event Log Head.
pub const EVENT_HEAD: usize = 0x2010;
/// Event Log Tail.
pub const EVENT_TAIL: usize = 0x2018;
/// Status.
pub const STATUS: usize = 0x2020;

/// `Control.IommuEn`.
pub const ENABLE: u64 = 1;
/// `Control.EventLogEn`.
pub const EVENT_LOG: u64 = 1 << 2;
/// `Control.EventIntEn`.
pub const EVENT_INTERRUPT: u64 = 1 << 3;
/// `Control.Coherent`: the unit looks at the device table through the processor's caches.
pub const COHERENT: u64 = 1 << 10;
/// `Control.CmdBufEn`.
pub const COMMANDS: u64 = 1 << 12;

/// Bits of `Control` that say how the unit's requests travel (`HtTunEn`, `PassPW`, `ResPassPW`, `Isoc`): firmware's.
pub const TRAVEL: u64 = 1 << 1 | 1 << 8 | 1 << 9 | 1 << 11;
/// `Extended Features.IASup`: everything can be invalidated by one command.
pub const INVALIDATES_ALL: u64 = 1 << 6;

/// `Status.EventLogRun` and `Status.CmdBufRun`: the unit goes through the log or the buffer.
pub const RUNNING: u64 = 1 << 3 | 1 << 4;
/// `Status.EventOverflow`.
pub const EVENT_OVERFLOW: u64 = 1;
/// `Status.EventLogInt`.
pub const EVENT_PENDING: u64 = 1 << 1;

/// What [`DEVICE_TABLE`] holds for a table of `pages` pages, 1 to 512 (3.4.1); `None` for another count or a bad address.
pub const fn device_table(address: u64, pages: u64) -> Option<u64> {
    match pages >= 1 && pages <= 512 && is_page(address) {
        true => Some(address | (pages - 1)),
        false => None,
    }
}

/// What [`COMMAND_BASE`] or [`EVENT_BASE`] holds for a ring of 2^`order` entries, 8 to 15 (3.4.2, 3.4.3); `None` for
/// another order or a bad address.
pub const fn ring(address: u64, order: u8) -> Option<u64> {
    match order >= 8 && order <= 15 && is_page(address) {
        true => Some(address | (order as u64) << 56),
        false => None,
    }
}

const fn is_page(address: u64) -> bool {
    address.is_multiple_of(4096) && address >> 52 == 0
}
