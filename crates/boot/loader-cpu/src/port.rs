//! Port I/O.

use core::arch::asm;

/// Writes one byte to an I/O port.
///
/// # Safety
/// The port belongs to a device whose state the caller may change.
pub unsafe fn out(port: u16, value: u8) {
    // SAFETY: an I/O write touches no memory; the caller answers for the device.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Writes 16 bits to an I/O port.
///
/// # Safety
/// As [`out`].
pub unsafe fn out16(port: u16, value: u16) {
    // SAFETY: as for `out`.
    unsafe {
        asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads 16 bits from an I/O port.
///
/// # Safety
/// As [`inb`].
pub unsafe fn in16(port: u16) -> u16 {
    let value;
    // SAFETY: as for `inb`.
    unsafe {
        asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Reads one byte from an I/O port.
///
/// # Safety
/// Reading the port has no effect that the caller does not want.
pub unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: an I/O read touches no memory; the caller answers for the device.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Reads words from an I/O port, one after the other, into `into`; a last odd byte is left alone.
///
/// # Safety
/// As [`inb`].
pub unsafe fn in16_into(port: u16, into: &mut [u8]) {
    // SAFETY: the instruction writes `rcx` words from `rdi` on, which lie inside the slice; the ABI has the direction flag
    // clear. The rest is the caller's promise.
    unsafe {
        asm!(
            "rep insw",
            in("dx") port,
            inout("rdi") into.as_mut_ptr() => _,
            inout("rcx") into.len() / 2 => _,
            options(nostack, preserves_flags)
        )
    };
}
