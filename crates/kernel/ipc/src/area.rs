use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use memory::MemoryObject;
use mmio::SharedBytes;
use ring_abi::{AREA_MAGIC, AreaLayout, Completion, Submission};
use sabotage::sabotage;

/// What a thread did to its area that no correct program does. The process is ended, the rule is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse(pub &'static &'static str);

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
        let at =
            self.layout.submission_offset as usize + (index & (self.submissions - 1)) as usize * 64;
        Submission::from_words(self.bytes.load_words(at).unwrap_or([0; 8]))
    }

    /// Writes completion `index` and publishes the new tail.
    pub(crate) fn post(&self, index: u32, c: Completion) {
        let slot = (index & (self.completions() - 1)) as usize;
        let at = self.layout.completion_offset as usize + slot * 32;
        let words = [c.user_data, c.status, c.cookie, c.reply];
        let _ = self.bytes.store_words(at, &words);
        let _ = self
            .bytes
            .store32(TAIL_COMPLETION, index.wrapping_add(1), Ordering::Release);
    }

    /// Checks that a span lies in the message area, 8-byte aligned in place and length.
    #[inline]
    pub(crate) fn check_span(&self, offset: u32, bytes: u32) -> Result<(), Misuse> {
        let fits = offset
            .checked_add(bytes)
            .is_some_and(|end| end <= self.layout.message_bytes);
        let aligned = offset.is_multiple_of(8) && bytes.is_multiple_of(8);
        if fits && aligned || sabotage!(SKIP_SPAN_CHECK) {
            Ok(())
        } else {
            Err(Misuse(&"message span outside the message area"))
        }
    }

    fn at(&self, offset: u32) -> usize {
        self.layout.message_offset as usize + offset as usize
    }

    /// Copies a checked span of the message area out.
    pub(crate) fn read(&self, offset: u32, out: &mut [u8]) {
        let _ = self.bytes.read(self.at(offset), out);
    }

    /// Copies into a checked span.
    pub(crate) fn write(&self, offset: u32, bytes: &[u8]) {
        let _ = self.bytes.write(self.at(offset), bytes);
    }

    pub(crate) fn read_word(&self, offset: u32) -> u64 {
        self.bytes
            .load64(self.at(offset), Ordering::Relaxed)
            .unwrap_or(0)
    }

    pub(crate) fn write_word(&self, offset: u32, word: u64) {
        let _ = self.bytes.store64(self.at(offset), word, Ordering::Relaxed);
    }

    /// Copies a message from another thread's area, both spans checked.
    pub(crate) fn copy_message(&self, offset: u32, from: &Self, from_offset: u32, bytes: u32) {
        let _ = self.bytes.copy_from(
            self.at(offset),
            &from.bytes,
            from.at(from_offset),
            bytes as usize,
        );
    }

    /// Reads a text of at most `limit` bytes at a span that need not be aligned, lossy.
    pub fn read_text(&self, offset: u32, bytes: u32, out: &mut [u8]) -> usize {
        let n = (bytes as usize).min(out.len());
        let fits = offset
            .checked_add(n as u32)
            .is_some_and(|e| e <= self.layout.message_bytes);
        if !fits || self.bytes.read(self.at(offset), &mut out[..n]).is_err() {
            return 0;
        }
        n
    }
}
