//! Port I/O.

use core::arch::asm;

/// Writes one byte to an I/O port.
///
/// # Safety
/// The port belongs to a device whose state the caller may change.
pub(crate) unsafe fn out(port: u16, value: u8) {
    // SAFETY: an I/O write touches no memory; the caller answers for the device.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads one byte from an I/O port.
///
/// # Safety
/// Reading the port has no effect that the caller does not want.
pub(crate) unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: an I/O read touches no memory; the caller answers for the device.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}
