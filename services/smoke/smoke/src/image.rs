//! A program in memory: an ELF file made by hand, whose first instruction is no good one.

use sdk::process::virtual_memory;
use sdk::{Access, Cap, Refusal, Window};

/// Where it is linked, and where its segment begins in the file.
const BASE: u64 = 0x20_0000;
const PAGE: u64 = 4096;

/// Makes an image of `bytes` bytes, two pages at least: one executable segment, from the second page of the file on. The
/// process that is started from it faults at once.
///
/// # Errors
/// The kernel's; `OutOfRange` for fewer pages.
pub fn make(vm: &virtual_memory::Client<Cap>, bytes: u64) -> Result<Window, Refusal> {
    let length = bytes.checked_sub(PAGE).ok_or(Refusal::OutOfRange)?;
    let memory = vm.create_memory(bytes)?.memory;
    let window = Window::map(memory, bytes, Access::ReadWrite)?;
    let put = |at: usize, bytes: &[u8]| window.write(at as u64, bytes);
    // The file header: 64 bits, little-endian, executable, x86-64; one program header, behind this one.
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1])?;
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0])?;
    put(24, &BASE.to_le_bytes())?;
    put(32, &64u64.to_le_bytes())?;
    put(52, &[64, 0, 56, 0, 1, 0])?;
    // The program header: to be loaded, read and execute.
    put(64, &[1, 0, 0, 0, 5, 0, 0, 0])?;
    for (at, word) in [
        (72, PAGE),
        (80, BASE),
        (88, BASE),
        (96, length),
        (104, length),
        (112, PAGE),
    ] {
        put(at, &word.to_le_bytes())?;
    }
    put(PAGE as usize, &[0x0f, 0x0b])?;
    Ok(window)
}
