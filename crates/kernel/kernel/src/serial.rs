//! COM1: output polled, input by interrupt (16550 datasheet).

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cpu::Lock;
use cpu::port::{read8, write8};

const BASE: u16 = 0x3f8;
/// ISA line of COM1.
pub const LINE: u8 = 4;

/// Bytes that fit into the output queue when it is empty: 16550A with its FIFOs on.
const FIFO_BYTES: usize = 16;

static OUTPUT: Lock<()> = Lock::new(());
/// 1 where the UART has no queue, [`FIFO_BYTES`] where it has one.
static ROOM: AtomicUsize = AtomicUsize::new(1);
static PRESENT: AtomicBool = AtomicBool::new(false);

fn read(register: u16) -> u8 {
    // SAFETY: the kernel owns COM1.
    unsafe { read8(BASE + register) }
}

fn write(register: u16, value: u8) {
    // SAFETY: the kernel owns COM1.
    unsafe { write8(BASE + register, value) };
}

/// Sets up 115200 baud, 8 bits, no parity, FIFOs on, interrupts off. Without a UART, output goes nowhere.
pub fn initialise() {
    write(7, 0x5a);
    if read(7) != 0x5a {
        return;
    }
    write(1, 0);
    write(3, 0x80);
    write(0, 1);
    write(1, 0);
    write(3, 3);
    write(2, 0xc7);
    // Both bits say that the FIFOs are there and work.
    if read(2) & 0xc0 == 0xc0 {
        ROOM.store(FIFO_BYTES, Ordering::Relaxed);
    }
    write(4, 0x0b);
    PRESENT.store(true, Ordering::Release);
}

/// Lets received bytes and breaks interrupt.
pub fn enable_input() {
    write(1, 1 | 4);
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A byte.
    Byte(u8),
    /// The line was held at zero for longer than a byte lasts. The byte of zeroes that it leaves comes after it.
    Break,
}

/// What was received, if anything was.
pub fn take() -> Option<Input> {
    if !PRESENT.load(Ordering::Relaxed) {
        return None;
    }
    // Reading the status clears the break in it.
    let status = read(5);
    if status & 0x10 != 0 {
        return Some(Input::Break);
    }
    (status & 1 != 0).then(|| Input::Byte(read(0)))
}

fn put(byte: u8) {
    put_all(&[byte]);
}

/// Waits for an empty queue and fills it, until all is out.
fn put_all(bytes: &[u8]) {
    for piece in bytes.chunks(ROOM.load(Ordering::Relaxed)) {
        for _ in 0..1_000_000 {
            if read(5) & 0x20 != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        for byte in piece {
            write(0, *byte);
        }
    }
}

/// Writes bytes as they are.
pub fn write_bytes(bytes: &[u8]) {
    if PRESENT.load(Ordering::Relaxed) {
        let _guard = OUTPUT.lock();
        put_all(bytes);
    }
}

/// Writes bytes, with a carriage return before each line feed.
pub fn write_text(bytes: &[u8]) {
    if PRESENT.load(Ordering::Relaxed) {
        let _guard = OUTPUT.lock();
        for byte in bytes {
            if *byte == b'\n' {
                put(b'\r');
            }
            put(*byte);
        }
    }
}

/// Opens the output for the one CPU that panics.
///
/// # Safety
/// Every other CPU has stopped.
pub unsafe fn seize() {
    // SAFETY: the caller's promise.
    unsafe { OUTPUT.force_unlock() };
}

/// Formats straight to the line.
pub struct Serial;

impl fmt::Write for Serial {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        write_text(s.as_bytes());
        Ok(())
    }
}
