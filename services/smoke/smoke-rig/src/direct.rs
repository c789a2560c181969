//! An I/O pair of an NVMe controller whose entries the program writes itself, with addresses of its device's domain.

use core::sync::atomic::Ordering;

use device_ring::Memory;
use nvme_format::{COMMAND_BYTES, COMPLETION_BYTES, Command, Completion};
use sdk::{Device, DeviceQueue, DmaBuffer, DmaPool, Layout, Refusal, Timer, Words};

use crate::nvme::IO;
use crate::piece::{handle, window};

const PAGE: u64 = 4096;
/// How long a command may take, and between two looks.
const PATIENCE_NS: u64 = 10_000_000_000;
const PAUSE_NS: u64 = 500_000;

/// The pair.
#[expect(missing_debug_implementations, reason = "words have none")]
pub struct Direct {
    /// The queue.
    pub queue: DeviceQueue,
    /// Where its commands and its completions lie.
    pub rings: [DmaBuffer; 2],
    submissions: Words,
    completions: Words,
    entries: u16,
    tail: u16,
    head: u16,
    phase: bool,
}

impl Direct {
    /// Opens pair `index` with rings of `entries`, at most a page each.
    ///
    /// # Errors
    /// As `Device.direct`, and those of buffers and windows.
    pub fn open(
        device: &Device,
        pool: &DmaPool,
        (index, source): (u16, u16),
        entries: u16,
    ) -> Result<Self, Refusal> {
        let page = || Ok::<_, Refusal>(pool.allocate(PAGE, Layout::Scattered)?.buffer);
        let rings = [page()?, page()?];
        let [submissions, completions] = &rings;
        let (commands, answers) = (handle(submissions), handle(completions));
        let opened = device.direct(IO, index, entries, source, commands, answers)?;
        Ok(Self {
            queue: opened.queue,
            submissions: Words::of(window(submissions, PAGE)?)?,
            completions: Words::of(window(completions, PAGE)?)?,
            rings,
            entries,
            tail: 0,
            head: 0,
            phase: true,
        })
    }

    /// Where the device sees a buffer.
    ///
    /// # Errors
    /// As `DeviceQueue.address`.
    pub fn address(&self, buffer: &DmaBuffer) -> Result<u64, Refusal> {
        Ok(self.queue.address(handle(buffer))?.address)
    }

    /// Writes a command as the next one, with its place for an identifier. The device is not told.
    #[inline]
    pub fn push(&mut self, mut command: Command) {
        command.cid = self.tail;
        let at = usize::from(self.tail) * (COMMAND_BYTES / 8);
        for (word, value) in command.words().into_iter().enumerate() {
            self.submissions.store(at + word, value, Ordering::Release);
        }
        self.tail = (self.tail + 1) % self.entries;
    }

    /// Tells the device of what was written and of what was taken.
    ///
    /// # Errors
    /// As `DeviceQueue.doorbell`.
    #[inline]
    pub fn ring(&self) -> Result<(), Refusal> {
        self.queue.doorbell(self.tail, self.head)
    }

    /// The oldest completion that was not taken yet. The device is not told.
    #[inline]
    pub fn take(&mut self) -> Option<Completion> {
        let at = usize::from(self.head) * (COMPLETION_BYTES / 8);
        let second = self.completions.load(at + 1, Ordering::Acquire);
        if Completion::phase_of(second) != self.phase {
            return None;
        }
        let first = self.completions.load(at, Ordering::Relaxed);
        self.head = (self.head + 1) % self.entries;
        self.phase ^= self.head == 0;
        Some(Completion::parse(first, second))
    }

    /// Runs one command; its status.
    ///
    /// # Errors
    /// `TimedOut` after ten seconds, and as [`Self::ring`].
    pub fn run(&mut self, timer: &Timer, command: Command) -> Result<u16, Refusal> {
        self.push(command);
        self.ring()?;
        let give_up = timer.now()?.ns + PATIENCE_NS;
        loop {
            if let Some(completion) = self.take() {
                self.ring()?;
                return Ok(completion.status.field());
            }
            let now = timer.now()?.ns;
            if now > give_up {
                return Err(Refusal::TimedOut);
            }
            timer.sleep(now + PAUSE_NS)?;
        }
    }
}
