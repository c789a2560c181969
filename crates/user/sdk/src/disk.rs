//! A block device that survives the death of its provider.
//!
//! A session and its transfer window die with the provider; the device's facet does not. So a request whose session is
//! gone opens a new one, which waits for the successor, and is made again: reading twice and writing the same bytes
//! twice to the same blocks are harmless. Nothing is reported done before a provider has answered for it.

use rt::{Access, Window};
use stub::Refusal;

use crate::{BlockDevice, BlockSession};

/// How many sessions one request may outlive.
const SESSIONS: u32 = 8;

/// What is written where a device makes no zeros.
static ZEROS: [u8; 4096] = [0; 4096];

/// A block device with a session and its window.
#[derive(Debug)]
pub struct Disk {
    device: BlockDevice,
    session: BlockSession,
    window: Window,
    wanted_bytes: u32,
    block_bytes: u32,
    blocks: u64,
    max_transfer_bytes: u32,
    max_zero_bytes: u32,
    max_discard_bytes: u32,
    read_only: bool,
    sessions: u64,
    /// What is to be written: first block and count.
    claimed: Option<(u64, u64)>,
}

/// The session is gone, and a new one may work.
fn is_over(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::ServerDied | Refusal::Stale | Refusal::Revoked | Refusal::NoReply
    )
}

fn open(
    device: &BlockDevice,
    wanted_bytes: u32,
    claimed: Option<(u64, u64)>,
) -> Result<(BlockSession, Window), Refusal> {
    let mut left = SESSIONS;
    loop {
        let opened = device.open(wanted_bytes).and_then(|open| {
            if let Some((block, blocks)) = claimed {
                open.session.claim(block, blocks)?;
            }
            let window = Window::map(open.window, open.window_bytes.into(), Access::ReadWrite)?;
            Ok((open.session, window))
        });
        match opened {
            Err(refusal) if is_over(refusal) && left > 0 => left -= 1,
            other => return other,
        }
    }
}

impl Disk {
    /// Opens a session with a window of about `window_bytes` bytes.
    ///
    /// # Errors
    /// The provider's refusal; [`Refusal::BadArgument`] when it tells of impossible sizes.
    pub fn open(device: BlockDevice, window_bytes: u32) -> Result<Self, Refusal> {
        let info = device.retrying().info()?;
        let (session, window) = open(&device, window_bytes, None)?;
        if !info.block_bytes.is_power_of_two() || info.max_transfer_bytes < info.block_bytes {
            return Err(Refusal::BadArgument);
        }
        Ok(Self {
            device,
            session,
            window,
            wanted_bytes: window_bytes,
            block_bytes: info.block_bytes,
            blocks: info.blocks,
            max_transfer_bytes: info.max_transfer_bytes,
            max_zero_bytes: info.max_zero_bytes,
            max_discard_bytes: info.max_discard_bytes,
            read_only: info.read_only,
            sessions: 1,
            claimed: None,
        })
    }

    /// Takes blocks to write, which nobody else writes to as long as this lives. A disk of which nothing was claimed is only
    /// read.
    ///
    /// A session that outlives its provider claims them of the successor before anything is written again. Whoever holds the
    /// device with the right to write may have been faster; then requests are refused `busy`, and nothing is written.
    ///
    /// # Errors
    /// The provider's refusal; `busy` where somebody else has some of them.
    pub fn claim(&mut self, block: u64, blocks: u64) -> Result<(), Refusal> {
        self.retry(|disk| disk.session.claim(block, blocks))?;
        self.claimed = Some((block, blocks));
        Ok(())
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    /// Count of blocks.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// It cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Sessions so far. Another number than before a write means that what was written and not flushed may be lost: the
    /// provider ended, or reset the device.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Reads whole blocks, from `block` on.
    ///
    /// # Errors
    /// [`Refusal::Misaligned`] when `to` is no whole number of blocks, [`Refusal::OutOfRange`] beyond the end, the
    /// provider's refusal otherwise.
    pub fn read(&mut self, block: u64, to: &mut [u8]) -> Result<(), Refusal> {
        let chunk = self.check(block, to.len())?;
        let mut at = block;
        for part in to.chunks_mut(chunk) {
            let blocks = self.blocks_of(part.len());
            self.retry(|disk| {
                let done = disk.session.read(at, blocks, 0)?;
                whole(done.bytes, part.len())?;
                disk.window.read(0, part)?;
                // A window whose provider died reads as zeros from then on: what was copied counts only if the window
                // is still there now.
                disk.window.memory().info().map(|_| ())
            })?;
            at += u64::from(blocks);
        }
        Ok(())
    }

    /// Writes whole blocks, from `block` on.
    ///
    /// # Errors
    /// As [`Disk::read`].
    pub fn write(&mut self, block: u64, from: &[u8]) -> Result<(), Refusal> {
        let chunk = self.check(block, from.len())?;
        let mut at = block;
        for part in from.chunks(chunk) {
            let blocks = self.blocks_of(part.len());
            self.retry(|disk| {
                disk.window.write(0, part)?;
                let done = disk.session.write(at, blocks, 0)?;
                whole(done.bytes, part.len())
            })?;
            at += u64::from(blocks);
        }
        Ok(())
    }

    /// As [`Disk::write`], and what was written lasts when it returns. What was written before need not.
    ///
    /// # Errors
    /// As [`Disk::read`].
    pub fn write_durable(&mut self, block: u64, from: &[u8]) -> Result<(), Refusal> {
        let chunk = self.check(block, from.len())?;
        let mut at = block;
        for part in from.chunks(chunk) {
            let blocks = self.blocks_of(part.len());
            self.retry(|disk| {
                disk.window.write(0, part)?;
                let done = disk.session.write_durable(at, blocks, 0)?;
                whole(done.bytes, part.len())
            })?;
            at += u64::from(blocks);
        }
        Ok(())
    }

    /// Makes zeros of blocks: by the device where it does that, else by writing them.
    ///
    /// # Errors
    /// As [`Disk::read`].
    pub fn zero(&mut self, block: u64, blocks: u64) -> Result<(), Refusal> {
        let most = match self.max_zero_bytes / self.block_bytes {
            0 => (self.check(block, 0)? as u32) / self.block_bytes,
            most => most,
        };
        let by_device = self.max_zero_bytes >= self.block_bytes;
        self.cleared(block, blocks, most, |disk, at, blocks| {
            if by_device {
                return disk.session.zero(at, blocks);
            }
            let bytes = blocks * disk.block_bytes;
            let mut zeros = 0;
            while zeros < bytes {
                let part = ZEROS.get(..(bytes - zeros) as usize).unwrap_or(&ZEROS);
                disk.window.write(zeros.into(), part)?;
                zeros += part.len() as u32;
            }
            let done = disk.session.write(at, blocks, 0)?;
            whole(done.bytes, bytes as usize)
        })
    }

    /// Tells the device that what blocks hold is of no use any more. What they hold afterwards is undefined until they are
    /// written again; nothing happens where the device does no such thing.
    ///
    /// # Errors
    /// As [`Disk::read`].
    pub fn discard(&mut self, block: u64, blocks: u64) -> Result<(), Refusal> {
        match self.max_discard_bytes / self.block_bytes {
            0 => Ok(()),
            most => self.cleared(block, blocks, most, |disk, at, blocks| {
                disk.session.discard(at, blocks)
            }),
        }
    }

    fn cleared(
        &mut self,
        block: u64,
        blocks: u64,
        most: u32,
        mut request: impl FnMut(&mut Self, u64, u32) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let end = block.checked_add(blocks).ok_or(Refusal::OutOfRange)?;
        if end > self.blocks {
            return Err(Refusal::OutOfRange);
        }
        let mut at = block;
        while at < end {
            let blocks = (end - at).min(most.into()) as u32;
            self.retry(|disk| request(disk, at, blocks))?;
            at += u64::from(blocks);
        }
        Ok(())
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// The provider's refusal.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        self.retry(|disk| disk.session.flush())
    }

    fn retry<R>(
        &mut self,
        mut request: impl FnMut(&mut Self) -> Result<R, Refusal>,
    ) -> Result<R, Refusal> {
        let mut left = SESSIONS;
        loop {
            match request(self) {
                Err(refusal) if is_over(refusal) && left > 0 => {
                    left -= 1;
                    self.sessions += 1;
                    (self.session, self.window) =
                        open(&self.device, self.wanted_bytes, self.claimed)?;
                }
                other => return other,
            }
        }
    }

    fn blocks_of(&self, bytes: usize) -> u32 {
        bytes as u32 / self.block_bytes
    }

    /// Checks a request and gives the most bytes that one part of it may have.
    fn check(&self, block: u64, bytes: usize) -> Result<usize, Refusal> {
        if !bytes.is_multiple_of(self.block_bytes as usize) {
            return Err(Refusal::Misaligned);
        }
        let blocks = bytes as u64 / u64::from(self.block_bytes);
        let end = block.checked_add(blocks).ok_or(Refusal::OutOfRange)?;
        if end > self.blocks {
            return Err(Refusal::OutOfRange);
        }
        let most = self.window.len().min(self.max_transfer_bytes.into());
        let chunk = most - most % u64::from(self.block_bytes);
        if chunk == 0 {
            return Err(Refusal::OutOfRange);
        }
        Ok(chunk as usize)
    }
}

/// A provider that did less than it was asked to did not do it.
fn whole(done: u32, asked: usize) -> Result<(), Refusal> {
    if done as usize == asked {
        Ok(())
    } else {
        Err(Refusal::LengthMismatch)
    }
}

impl partition::BlockRead for Disk {
    type Error = Refusal;

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Refusal> {
        Self::read(self, lba, buf)
    }
}
