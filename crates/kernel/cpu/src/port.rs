//! Port input and output.

/// Reads a byte from a port.
///
/// # Safety
/// Reading the port has no effect that breaks another owner of the device behind it.
pub unsafe fn read8(port: u16) -> u8 {
    let value: u8;
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Writes a byte to a port.
///
/// # Safety
/// The caller owns the device behind the port.
pub unsafe fn write8(port: u16, value: u8) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads 16 bits from a port.
///
/// # Safety
/// As [`read8`].
pub unsafe fn read16(port: u16) -> u16 {
    let value: u16;
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Reads words from a port, one after the other, into `into`, whose last byte is left alone where its length is odd.
///
/// # Safety
/// As [`read8`].
pub unsafe fn read16_into(port: u16, into: &mut [u8]) {
    // SAFETY: the instruction writes `rcx` words from `rdi` on, which lie inside the slice; the direction flag is clear,
    // as the ABI has it. The rest is the caller's promise.
    unsafe {
        core::arch::asm!(
            "rep insw",
            in("dx") port,
            inout("rdi") into.as_mut_ptr() => _,
            inout("rcx") into.len() / 2 => _,
            options(nostack, preserves_flags)
        )
    };
}

/// Writes 16 bits to a port.
///
/// # Safety
/// As [`write8`].
pub unsafe fn write16(port: u16, value: u16) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags))
    };
}

/// Reads 32 bits from a port.
///
/// # Safety
/// As [`read8`].
pub unsafe fn read32(port: u16) -> u32 {
    let value: u32;
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags))
    };
    value
}

/// Writes 32 bits to a port.
///
/// # Safety
/// As [`write8`].
pub unsafe fn write32(port: u16, value: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags))
    };
}
