//! Where a message to a kernel object lies while the object reads it, and where one from it is built.
//!
//! One buffer for each direction per CPU: a kernel object answers before it returns or defers, and while a buffer of the
//! CPU is borrowed no look is taken. Short messages lie on the stack, and those of long methods in memory of their own,
//! so that looks can be taken meanwhile.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use cpu::MAX_CPUS;
use paging::LongBuffer;
use ring_abi::Refusal;
use sched::Unbroken;

use crate::area::{Area, Span};

/// Bytes of each buffer: the longest message a kernel object takes or makes.
pub(crate) const SCRATCH_BYTES: usize = 32 * 1024;
/// Bytes of a message in memory of its own that lie in one piece of the heap, at most: a longer one takes pages wherever they
/// are.
const PIECE_BYTES: usize = 8 * 1024;
const _: () = assert!(SCRATCH_BYTES <= LongBuffer::BYTES);
/// Words of a message that lies on the stack, at most: more than a plain payload has.
const SHORT_WORDS: usize = 8;

static IN: [AtomicPtr<u8>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
static OUT: [AtomicPtr<u8>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// Gives this CPU its buffers. `false`: no memory.
pub fn install() -> bool {
    let cpu = cpu::index();
    for table in [&IN, &OUT] {
        let Some(run) = frames::allocate_bytes(SCRATCH_BYTES) else {
            return false;
        };
        table[cpu].store(frames::direct_map(run.address()), Ordering::Release);
        // Kept for good: the value has no destructor.
        let _ = run;
    }
    true
}

/// A message to a kernel object, for as long as it is served.
#[derive(Debug, Default)]
pub(crate) struct Message {
    short: [u64; SHORT_WORDS],
    long: Vec<u64>,
    longer: Option<LongBuffer>,
    /// The buffer of this CPU is borrowed.
    borrowed: Option<Unbroken>,
}

/// Where a message lies that is not short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory of its own: serving it takes looks.
    Own,
    /// In a buffer of this CPU.
    OfCpu,
}

/// Copies a message out of the caller's area.
///
/// # Errors
/// `BadMessage` for one that is too long, `NoMemory`.
#[inline(always)]
pub(crate) fn read<'m>(
    area: &Area,
    span: Span,
    place: Place,
    message: &'m mut Message,
) -> Result<&'m [u8], Refusal> {
    let bytes = span.bytes() as usize;
    let buffer = if bytes <= SHORT_WORDS * 8 {
        bytes_of(&mut message.short, bytes)
    } else {
        room(message, bytes, place)?
    };
    area.read(span, buffer);
    Ok(buffer)
}

/// The first bytes of words; as many as there are, at most.
fn bytes_of(words: &mut [u64], bytes: usize) -> &mut [u8] {
    let most = size_of_val(words).min(bytes);
    // SAFETY: the words, as bytes; any value of either is one of the other.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), most) }
}

/// Where a message that is not short goes.
#[inline(never)]
fn room(message: &mut Message, bytes: usize, place: Place) -> Result<&mut [u8], Refusal> {
    if bytes > SCRATCH_BYTES {
        return Err(Refusal::BadMessage);
    }
    if place == Place::Own && bytes > PIECE_BYTES {
        let longer = message.longer.insert(LongBuffer::new()?);
        return longer.bytes().get_mut(..bytes).ok_or(Refusal::BadMessage);
    }
    if place == Place::Own {
        let words = bytes.div_ceil(8);
        let long = &mut message.long;
        frames::widen(long, words)?;
        return Ok(bytes_of(long, bytes));
    }
    message.borrowed = Some(sched::unbroken());
    // SAFETY: `borrowed` keeps this the one dispatch that runs on this CPU until the message is dropped.
    unsafe { buffer(&IN) }
        .get_mut(..bytes)
        .ok_or(Refusal::BadMessage)
}

/// A buffer of this CPU.
///
/// # Safety
/// One user at a time on this CPU.
unsafe fn buffer(table: &[AtomicPtr<u8>; MAX_CPUS]) -> &'static mut [u8] {
    // SAFETY: `install` ran on this CPU; the caller is the one user.
    unsafe {
        core::slice::from_raw_parts_mut(table[cpu::index()].load(Ordering::Relaxed), SCRATCH_BYTES)
    }
}

/// The buffer for a message on its way out.
///
/// # Safety
/// One user at a time on this CPU: between the first encoded byte and the copy that follows, nothing else answers, and no
/// look is taken.
pub(crate) unsafe fn outgoing() -> &'static mut [u8] {
    // SAFETY: by the caller's promise.
    unsafe { buffer(&OUT) }
}
