//! The calling thread's area: its header, and its message area used as a stack.
//!
//! Every buffer that the kernel reads or fills is a [`Scratch`], a piece of the message area that nothing else uses
//! while it lives. Nested calls take theirs above it.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{AreaHeader, Transfer, span};
use stub::{CapArg, Outgoing, wire};

const WORD: u32 = wire::WORD as u32;

/// The area of the calling thread.
pub(crate) fn header() -> *mut AreaHeader {
    #[cfg(any(target_os = "none", guest))]
    {
        let address: *mut AreaHeader;
        // SAFETY: the kernel points the FS base of every thread at its area, whose first word is its own address. That
        // word never changes, so reading it again would be of no use.
        unsafe {
            core::arch::asm!("mov {}, fs:[0]", out(reg) address, options(pure, nomem, nostack, preserves_flags));
        }
        address
    }
    #[cfg(not(any(target_os = "none", guest)))]
    crate::host::area()
}

/// One of the header's 32-bit fields, as an atomic.
///
/// # Safety
/// `field` lies in the calling thread's area, which lives as long as the thread.
pub(crate) unsafe fn atomic<'a>(field: *mut u32) -> &'a AtomicU32 {
    // SAFETY: aligned and alive; the kernel and this thread access it atomically only.
    unsafe { AtomicU32::from_ptr(field) }
}

/// Where the free part of the message area begins: kept in the header's first `user` word.
fn top() -> &'static AtomicU32 {
    // SAFETY: the header is alive; `user` is the program's, and only the calling thread uses it.
    unsafe { atomic(&raw mut (*header()).user[0]) }
}

/// The bytes of the message area: start and length.
fn messages() -> (*mut u8, u32) {
    let header = header();
    // SAFETY: the kernel wrote the header before the thread ran, and these fields never change.
    let (offset, bytes) = unsafe { ((*header).message_offset, (*header).message_bytes) };
    (header.cast::<u8>().wrapping_add(offset as usize), bytes)
}

/// Bytes of the calling thread's message area that no call in progress uses.
pub fn message_bytes_free() -> u32 {
    messages().1.saturating_sub(top().load(Ordering::Relaxed))
}

/// A piece of the calling thread's message area.
pub(crate) struct Scratch {
    offset: u32,
    bytes: u32,
    /// It belongs to the thread that took it.
    _here: PhantomData<*mut u8>,
}

impl Scratch {
    /// Takes at most `bytes` bytes, rounded up to whole words; what there is if there is less.
    pub fn take(bytes: u32) -> Self {
        let offset = top().load(Ordering::Relaxed);
        let free = messages().1.saturating_sub(offset) & !(WORD - 1);
        let bytes = bytes.min(free).next_multiple_of(WORD).min(free);
        top().store(offset + bytes, Ordering::Relaxed);
        Self {
            offset,
            bytes,
            _here: PhantomData,
        }
    }

    /// Takes all there is.
    pub fn rest() -> Self {
        Self::take(u32::MAX - WORD)
    }

    /// Takes the front of the message area from whoever has it: for a process that is about to end.
    pub fn front(bytes: u32) -> Self {
        top().store(0, Ordering::Relaxed);
        Self::take(bytes)
    }

    /// Gives back what lies beyond the first `bytes` bytes, if this is the last piece taken.
    pub fn shrink(&mut self, bytes: u32) {
        let bytes = bytes.next_multiple_of(WORD);
        if bytes < self.bytes && top().load(Ordering::Relaxed) == self.offset + self.bytes {
            self.bytes = bytes;
            top().store(self.offset + bytes, Ordering::Relaxed);
        }
    }

    /// Where it lies: offset and length.
    pub fn span(&self) -> u64 {
        span(self.offset, self.bytes)
    }

    /// Its length in bytes.
    pub fn len(&self) -> u32 {
        self.bytes
    }

    /// Its offset in the message area.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: inside the message area; no other piece overlaps it, and the kernel writes to it only while an
        // operation that names it is in progress, during which this thread holds no reference to it.
        unsafe { core::slice::from_raw_parts(self.start(), self.bytes as usize) }
    }

    /// Its bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`.
        unsafe { core::slice::from_raw_parts_mut(self.start(), self.bytes as usize) }
    }

    fn start(&self) -> *mut u8 {
        messages().0.wrapping_add(self.offset as usize)
    }

    /// Lets it lie until the caller resets the stack with [`reset`].
    pub fn leave(self) {
        core::mem::forget(self);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A piece that is not the last one (a reply made inside a call's `read` closure lies above it) stays taken
        // until the server loop resets the stack.
        if top().load(Ordering::Relaxed) == self.offset + self.bytes {
            top().store(self.offset, Ordering::Relaxed);
        }
    }
}

/// Makes the free part begin right behind `below`.
pub(crate) fn reset(below: &Scratch) {
    top().store(below.offset + below.bytes, Ordering::Relaxed);
}

/// An outgoing message in the message area, with its transfers behind it.
pub(crate) struct Message {
    pub scratch: Scratch,
    pub bytes: u32,
    pub transfers: u64,
}

/// Builds the message of `payload` in a piece of the message area of its own.
pub(crate) fn build<P: Outgoing<CapArg>>(payload: P) -> Result<Message, wire::Full> {
    let mut scratch = Scratch::rest();
    let (bytes, transfers) = encode(payload, scratch.bytes_mut())?;
    scratch.shrink(bytes + transfers as u32 * ring_abi::TRANSFER_BYTES as u32);
    Ok(Message {
        scratch,
        bytes,
        transfers,
    })
}

/// Writes the message of `payload` and its transfers to the front of `to`. Returns the message's length in bytes and
/// the count of transfers.
pub(crate) fn encode<P: Outgoing<CapArg>>(
    payload: P,
    to: &mut [u8],
) -> Result<(u32, u64), wire::Full> {
    let mut caps = [const { MaybeUninit::<Transfer>::uninit() }; ring_abi::MAX_TRANSFERS];
    let mut count = 0;
    let limit = to.len().min(ring_abi::MAX_MESSAGE_BYTES);
    let mut writer = wire::MessageWriter::new(&mut to[..limit]);
    let mut root = writer.root(P::DATA_WORDS, P::POINTERS)?;
    payload.encode(&mut root, &mut |cap| {
        if let Some(slot) = caps.get_mut(count) {
            slot.write(Transfer {
                handle: cap.handle,
                mode: u64::from(cap.moved),
            });
        }
        count += 1;
    })?;
    let len = writer.len();
    let mut at = len;
    for cap in caps.get(..count).ok_or(wire::Full)? {
        // SAFETY: the first `count` were written above.
        let cap = unsafe { cap.assume_init_ref() };
        for word in [cap.handle, cap.mode] {
            let to = to.get_mut(at..at + wire::WORD).ok_or(wire::Full)?;
            to.copy_from_slice(&word.to_le_bytes());
            at += wire::WORD;
        }
    }
    Ok((len as u32, count as u64))
}
