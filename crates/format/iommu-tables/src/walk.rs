//! A second reading of all tables, as a unit does it: from what its registers hold to a physical address or a reason.
//!
//! It shares no code with what writes the tables: every number in it was taken from the specifications once more, so
//! that a mistake would have to be made twice. Reserved bits are refused as hardware refuses them.

/// What a walk needs of memory: the eight bytes at an address, `None` where there is no memory.
pub type Read<'a> = &'a dyn Fn(u64) -> Option<u64>;

/// What a device wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// To read.
    Read,
    /// To write.
    Write,
}

/// A VT-d unit, as far as a walk depends on it.
#[derive(Clone, Copy, Debug)]
pub struct VtdUnit {
    /// The root table's address, as in `RTADDR`.
    pub root_table: u64,
    /// Width of physical addresses (`HAW`), in bits.
    pub physical_bits: u32,
    /// Widest device address (`MGAW`), in bits.
    pub widest: u32,
    /// The depths it reads, by `AW`: bit 1 is three levels, bit 2 four.
    pub depths: u8,
    /// It reads pages of 2 MiB; of 1 GiB.
    pub large: (bool, bool),
}

/// Walks as VT-d 4.1, 3.4 to 3.7 say. The error is the fault reason of table 25.
///
/// # Errors
/// The number of the reason for which the unit refuses.
pub fn vtd(unit: &VtdUnit, read: Read<'_>, source: u16, iova: u64, want: Want) -> Result<u64, u8> {
    let too_high = !((1u64 << unit.physical_bits) - 1);
    let root = (unit.root_table & !0xfff) + u64::from(source >> 8) * 16;
    let low = read(root).ok_or(8u8)?;
    let high = read(root + 8).ok_or(8u8)?;
    if low & 1 == 0 {
        return Err(1);
    }
    if low & 0xffe != 0 || low & too_high != 0 || high != 0 {
        return Err(0xa);
    }
    let context = (low & !0xfff) + u64::from(source & 0xff) * 16;
    let low = read(context).ok_or(9u8)?;
    let high = read(context + 8).ok_or(9u8)?;
    if low & 1 == 0 {
        return Err(2);
    }
    if low & 0xff0 != 0 || low & too_high != 0 || high >> 24 != 0 || high & 0x80 != 0 {
        return Err(0xb);
    }
    // Translation type 0 alone; the width must be one that the unit has.
    let width = high & 7;
    if low & 0xc != 0 || width > 3 || unit.depths >> width & 1 == 0 {
        return Err(3);
    }
    let levels = width as u32 + 2;
    let bits = 12 + levels * 9;
    if iova >> bits.min(unit.widest) != 0 {
        return Err(4);
    }
    vtd_pages(unit, read, low & !0xfff, levels, iova, want)
}

fn vtd_pages(
    unit: &VtdUnit,
    read: Read<'_>,
    mut table: u64,
    levels: u32,
    iova: u64,
    want: Want,
) -> Result<u64, u8> {
    let too_high = 0x000f_ffff_ffff_ffff & !((1u64 << unit.physical_bits) - 1);
    let mut shift = 12 + levels * 9;
    loop {
        shift -= 9;
        let entry = read(table + (iova >> shift & 0x1ff) * 8).ok_or(7u8)?;
        if entry & 3 == 0 {
            return Err(if want == Want::Write { 5 } else { 6 });
        }
        let page = match shift {
            12 => true,
            21 => entry & 0x80 != 0,
            30 => entry & 0x80 != 0,
            _ if entry & 0x80 != 0 => return Err(0xc),
            _ => false,
        };
        let sized = match shift {
            12 => true,
            21 => unit.large.0,
            _ => unit.large.1,
        };
        let inside = if page {
            ((1u64 << shift) - 1) & !0xfff
        } else {
            0
        };
        if entry & too_high != 0 || page && !sized || entry & inside != 0 {
            return Err(0xc);
        }
        match want {
            Want::Write if entry & 2 == 0 => return Err(5),
            Want::Read if entry & 1 == 0 => return Err(6),
            _ => {}
        }
        let base = entry & 0x000f_ffff_ffff_f000;
        if page {
            return Ok(base | iova & ((1 << shift) - 1));
        }
        table = base;
    }
}

/// What an AMD unit does instead of translating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AmdRefusal {
    /// The entry of the device lies outside the table, or memory does not answer.
    Unreadable,
    /// The entry of the device has bits that must be clear.
    IllegalEntry,
    /// The request is refused (`IO_PAGE_FAULT`).
    PageFault,
}

/// Walks as AMD 3.08, 2.2.2 and 2.2.3 say, from what `Device Table Base` holds.
///
/// # Errors
/// Those of [`AmdRefusal`].
pub fn amd(
    device_table: u64,
    read: Read<'_>,
    source: u16,
    iova: u64,
    want: Want,
) -> Result<u64, AmdRefusal> {
    let bytes = ((device_table & 0x1ff) + 1) * 4096;
    let place = u64::from(source) * 32;
    if place >= bytes {
        return Err(AmdRefusal::Unreadable);
    }
    let at = (device_table & 0x000f_ffff_ffff_f000) + place;
    let word = |number: u64| read(at + number * 8).ok_or(AmdRefusal::Unreadable);
    let (first, second, third) = (word(0)?, word(1)?, word(2)?);
    // Guest translation, host access and dirty bits, and everything around an ATS request stay off.
    if first >> 52 & 0x1ff != 0 || first >> 63 != 0 || first & 0x1fc != 0 || second >> 16 != 0 {
        return Err(AmdRefusal::IllegalEntry);
    }
    if third >> 56 & 0xf != 0 || third >> 62 != 0 {
        return Err(AmdRefusal::IllegalEntry);
    }
    match first & 3 {
        3 => {}
        // Without `V` or `TV` the address would pass as it is: never written.
        _ => return Err(AmdRefusal::IllegalEntry),
    }
    let right = if want == Want::Write {
        1u64 << 62
    } else {
        1 << 61
    };
    let mut level = first >> 9 & 7;
    if first & right == 0 || level == 0 {
        return Err(AmdRefusal::PageFault);
    }
    if level > 6 || iova >> (12 + 9 * level).min(63) != 0 {
        return Err(AmdRefusal::PageFault);
    }
    let mut table = first & 0x000f_ffff_ffff_f000;
    loop {
        let shift = 12 + 9 * (level - 1);
        let entry = read(table + (iova >> shift & 0x1ff) * 8).ok_or(AmdRefusal::Unreadable)?;
        let next = entry >> 9 & 7;
        if entry & 1 == 0 || entry & right == 0 {
            return Err(AmdRefusal::PageFault);
        }
        let base = entry & 0x000f_ffff_ffff_f000;
        if next == 0 {
            let inside = (1u64 << shift) - 1;
            // A base inside the page is not one of this size.
            return match base & inside {
                0 => Ok(base | iova & inside),
                _ => Err(AmdRefusal::PageFault),
            };
        }
        // Levels may only fall; skipped ones and sizes of their own (7) are not written.
        if next != level - 1 {
            return Err(AmdRefusal::PageFault);
        }
        (table, level) = (base, next);
    }
}
