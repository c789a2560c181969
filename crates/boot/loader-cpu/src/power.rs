//! Turning the machine off after an error, as the ACPI tables of a BIOS say (ACPI 6.5, 4.8.3.2 and 5.2.5.1).

use core::slice;

use acpi_tables::{
    Fadt, PM1_CNT_SLP_EN, PM1_CNT_SLP_TYP_MASK, PM1_CNT_SLP_TYP_SHIFT, PhysReader, ReadError,
    Register, Root, Signature, Space, Table, TableRef, find_s5,
};

use crate::port::{in16, out16};

/// Where a BIOS puts the root pointer, on a 16-byte boundary.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
const ROOT_SIGNATURE: &[u8; 8] = b"RSD PTR ";
/// What both front ends have mapped to itself.
const REACH: u64 = 4 << 30;

/// Memory that maps to itself.
struct Low;

impl Low {
    fn bytes(&self, at: u64, len: usize) -> Option<&'static [u8]> {
        let end = at.checked_add(len as u64)?;
        // SAFETY: mapped by the caller's word; nothing writes firmware's tables.
        (at != 0 && end <= REACH).then(|| unsafe { slice::from_raw_parts(at as *const u8, len) })
    }
}

impl PhysReader for Low {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let bytes = self.bytes(address, buffer.len()).ok_or(ReadError)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// Turns the machine off, or returns where the tables of a BIOS do not say how.
///
/// # Safety
/// Nobody else uses the machine, and memory below 4 GiB maps to itself.
pub(crate) unsafe fn power_off() {
    let Some((fadt, sleep)) = means() else { return };
    for (register, kind) in [
        (fadt.pm1a_control, sleep.pm1a),
        (fadt.pm1b_control, sleep.pm1b),
    ] {
        if let Some(Register {
            space: Space::Io,
            address,
            ..
        }) = register
        {
            #[expect(clippy::cast_possible_truncation, reason = "an address of port space")]
            let port = address as u16;
            // SAFETY: PM1 control as the FADT gives it, on a machine that is the caller's to turn off.
            unsafe {
                let kept = in16(port) & !PM1_CNT_SLP_TYP_MASK;
                out16(
                    port,
                    kept | u16::from(kind) << PM1_CNT_SLP_TYP_SHIFT | PM1_CNT_SLP_EN,
                );
            }
        }
    }
}

fn means() -> Option<(Fadt, acpi_tables::SleepTypes)> {
    let root = BIOS_AREA.step_by(16).find(|at| {
        Low.bytes(*at, 8)
            .is_some_and(|bytes| bytes == ROOT_SIGNATURE)
    })?;
    let root = Root::locate(&Low, root).ok()?;
    let whole = |table: TableRef| Low.bytes(table.address, table.length_bytes as usize);
    let fadt = Fadt::parse(whole(root.find(&Low, Signature::FADT).ok()??)?).ok()?;
    let dsdt = TableRef::read(&Low, fadt.dsdt?, Signature::DSDT).ok()?;
    let table = Table::parse(whole(dsdt)?, Signature::DSDT).ok()?;
    Some((fadt, find_s5(&table).ok()??))
}
