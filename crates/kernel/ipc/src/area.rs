//! The memory that the kernel shares with one thread. What the program writes there is read once; where it says that
//! something lies is checked before it is used, and is a [`Span`] from then on.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use memory::MemoryObject;
use mmio::SharedBytes;
use ring_abi::{
    AREA_MAGIC, AreaLayout, COMPLETION_BYTES, Completion, SUBMISSION_BYTES, Submission, opcode,
    span_parts,
};
use sabotage::sabotage;

use crate::stop::Misuse;

/// A part of the message area that was checked: it lies inside, aligned to 8 bytes in place and length. Only
/// [`Area::span`] and [`Area::behind`] make one, or cut it from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    offset: u32,
    bytes: u32,
}

impl Span {
    /// Nothing.
    pub(crate) const EMPTY: Self = Self {
        offset: 0,
        bytes: 0,
    };

    /// Its length.
    #[inline(always)]
    pub(crate) const fn bytes(self) -> u32 {
        self.bytes
    }

    /// A span that begins here and goes on as far as anybody writes.
    pub(crate) const fn without_end(self) -> Self {
        Self {
            bytes: u32::MAX,
            ..self
        }
    }

    /// The places of a message, whose length is a multiple of 8, and of `count` handles behind it. `None`: they do not fit.
    #[inline(always)]
    pub(crate) const fn divide(self, message: usize, count: usize) -> Option<(Self, Self)> {
        let handles = count as u64 * 8;
        if message as u64 + handles > self.bytes as u64 {
            return None;
        }
        let bytes = message as u32;
        let behind = Self {
            offset: self.offset + bytes,
            bytes: handles as u32,
        };
        Some((Self { bytes, ..self }, behind))
    }
}

/// The memory that the kernel and one thread share: ring and messages. Pinned, and reached through the direct map, so
/// that no access faults whatever the program does to its own mapping.
#[derive(Debug)]
pub struct Area {
    bytes: SharedBytes,
    layout: AreaLayout,
    submissions: u32,
    address: u64,
    /// Keeps the pages while the thread or a call of it lives.
    memory: Arc<MemoryObject>,
}

const HEAD_SUBMISSION: usize = 16;
const TAIL_SUBMISSION: usize = 20;
const HEAD_COMPLETION: usize = 24;
const TAIL_COMPLETION: usize = 28;

impl Area {
    /// Takes over an area mapped at `address` in the program, and writes its header.
    pub fn new(
        bytes: SharedBytes,
        layout: AreaLayout,
        submissions: u32,
        address: u64,
        memory: Arc<MemoryObject>,
    ) -> Self {
        let words = [
            address,
            AREA_MAGIC,
            0,
            0,
            u64::from(submissions) | u64::from(layout.submission_offset) << 32,
            u64::from(layout.completion_offset) | u64::from(layout.message_offset) << 32,
            u64::from(layout.message_bytes),
        ];
        for (i, word) in words.iter().enumerate() {
            let _ = bytes.store64(i * 8, *word, Ordering::Relaxed);
        }
        Self {
            bytes,
            layout,
            submissions,
            address,
            memory,
        }
    }

    /// Where the program sees it.
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Its pages.
    pub(crate) const fn memory(&self) -> &Arc<MemoryObject> {
        &self.memory
    }

    /// Count of submission slots.
    pub(crate) const fn submissions(&self) -> u32 {
        self.submissions
    }

    /// Count of completion slots.
    pub(crate) const fn completions(&self) -> u32 {
        self.submissions * 2
    }

    pub(crate) fn submission_tail(&self) -> u32 {
        self.bytes
            .load32(TAIL_SUBMISSION, Ordering::Acquire)
            .unwrap_or(0)
    }

    pub(crate) fn completion_head(&self) -> u32 {
        self.bytes
            .load32(HEAD_COMPLETION, Ordering::Acquire)
            .unwrap_or(0)
    }

    pub(crate) fn publish_submission_head(&self, head: u32) {
        let _ = self.bytes.store32(HEAD_SUBMISSION, head, Ordering::Release);
    }

    /// Reads a submission once, into a private copy.
    pub(crate) fn submission(&self, index: u32) -> Submission {
        let at = self.slots().submission(index) * 8;
        Submission::from_words(self.bytes.load_words(at).unwrap_or([0; 8]))
    }

    /// The slots of the ring.
    #[inline(always)]
    pub(crate) const fn slots(&self) -> Slots {
        Slots {
            bytes: self.bytes,
            submissions: self.submissions,
            first_submission: self.layout.submission_offset as usize / 8,
            first_completion: self.layout.completion_offset as usize / 8,
        }
    }

    /// Lets the program see the completions before number `tail`.
    #[inline(always)]
    pub(crate) fn publish_completions(&self, tail: u32) {
        let _ = self.bytes.store32(TAIL_COMPLETION, tail, Ordering::Release);
    }

    /// Writes completion `index` and publishes the new tail.
    pub(crate) fn post(&self, index: u32, c: Completion) {
        self.slots().write(index, c);
        self.publish_completions(index.wrapping_add(1));
    }

    /// Checks that a span, packed as in [`ring_abi::span`], lies in the message area, 8-byte aligned in place and length.
    ///
    /// # Errors
    /// It does not.
    #[inline]
    pub(crate) fn span(&self, word: u64) -> Result<Span, Misuse> {
        let (offset, bytes) = span_parts(word);
        let fits = offset
            .checked_add(bytes)
            .is_some_and(|end| end <= self.layout.message_bytes);
        let aligned = offset.is_multiple_of(8) && bytes.is_multiple_of(8);
        if fits && aligned || sabotage!(SKIP_SPAN_CHECK) {
            Ok(Span { offset, bytes })
        } else {
            Err(Misuse(&"message span outside the message area"))
        }
    }

    /// The `bytes` directly behind a span.
    ///
    /// # Errors
    /// As [`Self::span`].
    pub(crate) fn behind(&self, span: Span, bytes: u32) -> Result<Span, Misuse> {
        self.span(ring_abi::span(span.offset.wrapping_add(span.bytes), bytes))
    }

    fn at(&self, span: Span) -> usize {
        self.layout.message_offset as usize + span.offset as usize
    }

    /// Copies the start of a span out, as much as `out` takes.
    pub(crate) fn read(&self, span: Span, out: &mut [u8]) {
        let _ = self.bytes.read(self.at(span), out);
    }

    /// Copies to the start of a span.
    pub(crate) fn write(&self, span: Span, bytes: &[u8]) {
        let _ = self.bytes.write(self.at(span), bytes);
    }

    /// Word `index` of a span.
    pub(crate) fn word(&self, span: Span, index: usize) -> u64 {
        self.bytes
            .load64(self.at(span) + index * 8, Ordering::Relaxed)
            .unwrap_or(0)
    }

    /// Writes word `index` of a span.
    pub(crate) fn set_word(&self, span: Span, index: usize, word: u64) {
        let _ = self
            .bytes
            .store64(self.at(span) + index * 8, word, Ordering::Relaxed);
    }

    /// Copies a message of another thread's area to the start of a span.
    pub(crate) fn copy_message(&self, to: Span, from: &Self, message: Span) {
        let _ = self.bytes.copy_from(
            self.at(to),
            &from.bytes,
            from.at(message),
            message.bytes as usize,
        );
    }

    /// Reads a text of at most `limit` bytes at a span that need not be aligned, lossy.
    pub fn read_text(&self, offset: u32, bytes: u32, out: &mut [u8]) -> usize {
        let n = (bytes as usize).min(out.len());
        let fits = offset
            .checked_add(n as u32)
            .is_some_and(|e| e <= self.layout.message_bytes);
        let at = self.layout.message_offset as usize + offset as usize;
        if !fits || self.bytes.read(at, &mut out[..n]).is_err() {
            return 0;
        }
        n
    }
}

/// The slots of a ring, for a loop over some of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    bytes: SharedBytes,
    submissions: u32,
    /// In words from the start of the area.
    first_submission: usize,
    first_completion: usize,
}

impl Slots {
    /// The first word of a submission, counted from the start of the area.
    #[inline(always)]
    const fn submission(&self, index: u32) -> usize {
        let slot = (index & (self.submissions - 1)) as usize;
        self.first_submission + slot * (SUBMISSION_BYTES / 8)
    }

    /// The user data of a submission that asks for nothing at all, in the one form that no rule refuses. Whatever else it is, it
    /// is read again by [`Area::submission`], and what was read here decides nothing then.
    #[inline(always)]
    pub(crate) fn plain_nop(&self, index: u32) -> Option<u64> {
        let at = self.submission(index);
        // Opcode, flags, method and the reserved word are the first word, and all of them are zero.
        if self.bytes.word(at, Ordering::Relaxed)? != u64::from(opcode::NOP) {
            return None;
        }
        self.bytes.word(at + 2, Ordering::Relaxed)
    }

    /// Writes completion `index`, which the program does not see yet.
    #[inline(always)]
    pub(crate) fn write(&self, index: u32, c: Completion) {
        let slot = (index & (self.submissions * 2 - 1)) as usize;
        let at = self.first_completion + slot * (COMPLETION_BYTES / 8);
        let words = [c.user_data, c.status, c.cookie, c.reply];
        let _ = self.bytes.store_words(at * 8, &words);
    }
}
